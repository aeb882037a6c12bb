//! The scopes: which part of the system a policy rules over.

use std::fmt;

/// A scope (reference policies 6). Names are compared exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// What administrators may do with tokens and users.
    Admin,
    /// Who may read the audit trail.
    Audit,
    /// How users are authenticated.
    Authentication,
    /// Whether an authenticated user is let in, and what the client is told.
    Authorization,
    /// What tokens look like and how many there may be.
    Enrollment,
    /// Who may fetch OTP values of tokens.
    GetToken,
    /// Who may look at the state of the system.
    Monitoring,
    /// Whom to tell about events.
    Notification,
    /// A former scope; stored, never consulted.
    Ocra,
    /// A former scope; stored, never consulted.
    Ocra2,
    /// What is counted.
    Reporting,
    /// Who may read the counts.
    ReportingAccess,
    /// What users may do with their own tokens.
    Selfservice,
    /// Who may read and write the configuration.
    System,
    /// Who may use the tools.
    Tools,
}

impl Scope {
    /// All scopes, ordered by name.
    pub const ALL: [Self; 15] = [
        Self::Admin,
        Self::Audit,
        Self::Authentication,
        Self::Authorization,
        Self::Enrollment,
        Self::GetToken,
        Self::Monitoring,
        Self::Notification,
        Self::Ocra,
        Self::Ocra2,
        Self::Reporting,
        Self::ReportingAccess,
        Self::Selfservice,
        Self::System,
        Self::Tools,
    ];

    /// The name in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Audit => "audit",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Enrollment => "enrollment",
            Self::GetToken => "gettoken",
            Self::Monitoring => "monitoring",
            Self::Notification => "notification",
            Self::Ocra => "ocra",
            Self::Ocra2 => "ocra2",
            Self::Reporting => "reporting",
            Self::ReportingAccess => "reporting.access",
            Self::Selfservice => "selfservice",
            Self::System => "system",
            Self::Tools => "tools",
        }
    }

    /// The scope with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// Whether an empty `user` or `client` field stands for everybody (reference policies 1.1 rule 4).
    #[must_use]
    pub const fn completes_empty_fields(self) -> bool {
        match self {
            Self::Selfservice
            | Self::Admin
            | Self::Enrollment
            | Self::Authorization
            | Self::Authentication => true,
            Self::Audit
            | Self::GetToken
            | Self::Monitoring
            | Self::Notification
            | Self::Ocra
            | Self::Ocra2
            | Self::Reporting
            | Self::ReportingAccess
            | Self::System
            | Self::Tools => false,
        }
    }

    /// Whether its users are administrators.
    #[must_use]
    pub const fn is_about_administrators(self) -> bool {
        self.knows_star()
    }

    /// Which conditions are not looked at, by design (reference policies 3.4 and D3).
    #[must_use]
    pub const fn ignores(self) -> Ignored {
        match self {
            Self::Admin => Ignored { realm: false, client: true },
            Self::Audit | Self::Monitoring | Self::ReportingAccess | Self::System | Self::Tools => {
                Ignored { realm: true, client: false }
            }
            Self::Authentication
            | Self::Authorization
            | Self::Enrollment
            | Self::GetToken
            | Self::Notification
            | Self::Ocra
            | Self::Ocra2
            | Self::Reporting
            | Self::Selfservice => Ignored { realm: false, client: false },
        }
    }

    /// Whether `*` is a valid action here, standing for all of them (reference policies 1.4).
    #[must_use]
    pub const fn knows_star(self) -> bool {
        match self {
            Self::Admin
            | Self::Audit
            | Self::Monitoring
            | Self::ReportingAccess
            | Self::System
            | Self::Tools => true,
            Self::Authentication
            | Self::Authorization
            | Self::Enrollment
            | Self::GetToken
            | Self::Notification
            | Self::Ocra
            | Self::Ocra2
            | Self::Reporting
            | Self::Selfservice => false,
        }
    }
}

/// Conditions a scope does not look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The realm.
    pub realm: bool,
    /// The client address.
    pub client: bool,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_exactly() {
        for scope in Scope::ALL {
            assert_eq!(Scope::find(scope.name()), Some(scope));
        }
        for unknown in ["", "Admin", "getToken", "reporting.", "system "] {
            assert_eq!(Scope::find(unknown), None, "{unknown}");
        }
        assert!(Scope::ALL.is_sorted_by_key(|scope| scope.name()));
    }
}
