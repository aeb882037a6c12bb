//! The small scopes: who may read and write the configuration, the audit trail and the reports, and the scopes whose
//! features are few (reference policies 6.6).

use super::actions;
use crate::policy::scope::Scope::{
    Audit, GetToken, Monitoring, Notification, Reporting, ReportingAccess, System, Tools,
};

type Text = Box<str>;

actions! { SYSTEM in System;
    /// Administrators may read the configuration, policies included.
    READ: bool = "read";
    /// Administrators may change the configuration, policies included; reading needs a right of its own.
    WRITE: bool = "write";
}

actions! { AUDIT in Audit;
    /// Administrators may search and download the audit trail.
    VIEW: bool = "view";
}

actions! { TOOLS in Tools;
    /// Administrators may move tokens from one resolver to another.
    MIGRATE_RESOLVER: bool = "migrate_resolver";
    /// Administrators may import users; the right to write the configuration is needed as well.
    IMPORT_USERS: bool = "import_users";
}

actions! { MONITORING in Monitoring;
    /// Administrators may see numbers about the configuration.
    CONFIG: bool = "config";
    /// Administrators may see the licence.
    LICENSE: bool = "license";
    /// Administrators may see whether the encryption works.
    STORAGE_ENCRYPTION: bool = "storageEncryption";
    /// Administrators may see numbers of tokens.
    TOKENS: bool = "tokens";
    /// Administrators may see numbers of users.
    USERINFO: bool = "userinfo";
    /// Administrators may see numbers of users with active tokens.
    ACTIVE_USERS: bool = "activeUsers";
}

actions! { REPORTING_ACCESS in ReportingAccess;
    /// Administrators may ask for the highest number of tokens.
    MAXIMUM: bool = "maximum";
    /// Administrators may ask for numbers over a period.
    PERIOD: bool = "period";
    /// Administrators may list the reports.
    SHOW: bool = "show";
    /// Administrators may delete all reports.
    DELETE_ALL: bool = "delete_all";
    /// Administrators may delete reports before a date.
    DELETE_BEFORE: bool = "delete_before";
}

actions! { REPORTING in Reporting;
    /// The number of tokens is recorded whenever it changes.
    TOKEN_TOTAL: bool = "token_total";
    /// The number of users with tokens is recorded whenever it changes.
    TOKEN_USER_TOTAL: bool = "token_user_total";
    /// The number of tokens in a state is recorded whenever it changes: active, inactive, assigned, unassigned, or two of
    /// them joined by '&'. May be given several times.
    TOKEN_STATUS: Text = "token_status";
}

actions! { GET_TOKEN in GetToken;
    /// The most values of a daily-password token that may be fetched at once.
    MAX_COUNT_DPW: i64 = "max_count_dpw";
    /// The most values of a HOTP token that may be fetched at once.
    MAX_COUNT_HOTP: i64 = "max_count_hotp";
    /// The most values of a TOTP token that may be fetched at once.
    MAX_COUNT_TOTP: i64 = "max_count_totp";
}

actions! { NOTIFICATION in Notification;
    /// Who tells a user about a token enrolled automatically: `email::<provider>`. The token gets a random PIN.
    AUTOENROLLMENT: Text = "autoenrollment";
    /// Who tells a user about a new token: `email::<provider>`.
    ENROLLMENT: Text = "enrollment";
    /// Who tells a user about a new PIN: `email::<provider>`.
    SET_PIN: Text = "setPin";
}
