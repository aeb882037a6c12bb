//! The users of one password file: lines, look-up tables and search.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};
use tessera_core::facts::SearchTerm;
use tessera_core::user::{UserEntry, UserId};
use zeroize::Zeroizing;

use super::super::ANY_FIELD;
use super::matching::{NumberPattern, TextPattern};

/// A line is split into this many parts at most, as LinOTP does; the home directory and what follows are not used.
const FIELDS_MAX: usize = 8;
/// Unusable lines that are logged one by one; the rest is only counted.
const LOGGED_LINES_MAX: usize = 10;

/// One line of the file. Its `Debug` form leaves the password hash out.
pub(super) struct PasswdLine<'a> {
    login: &'a str,
    cryptpass: &'a str,
    uid: &'a str,
    gecos: &'a str,
}

impl fmt::Debug for PasswdLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswdLine")
            .field("login", &self.login)
            .field("uid", &self.uid)
            .field("gecos", &self.gecos)
            .finish_non_exhaustive()
    }
}

/// Why a line is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("fewer than five fields")]
    TooFewFields,
    #[error("empty login name")]
    EmptyLogin,
    #[error("empty user id")]
    EmptyUid,
    #[error("not valid UTF-8")]
    NotUtf8,
}

/// Reads one line that is neither blank nor a comment.
pub(super) fn parse_line(line: &str) -> Result<PasswdLine<'_>, LineError> {
    let mut fields = line.splitn(FIELDS_MAX, ':');
    let mut field = || fields.next().ok_or(LineError::TooFewFields);
    let (login, cryptpass, uid, _gid, gecos) = (field()?, field()?, field()?, field()?, field()?);
    if login.is_empty() {
        return Err(LineError::EmptyLogin);
    }
    if uid.is_empty() {
        return Err(LineError::EmptyUid);
    }
    Ok(PasswdLine { login, cryptpass, uid, gecos })
}

/// The parts of the GECOS field; what is missing is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gecos<'a> {
    givenname: &'a str,
    surname: &'a str,
    mobile: &'a str,
    phone: &'a str,
    email: &'a str,
}

impl<'a> Gecos<'a> {
    /// `full name,…,mobile,phone,…`: the phone numbers count only when all four parts are there, and the last of
    /// the further parts that looks like an e-mail address is the address.
    pub(super) fn parse(gecos: &'a str) -> Self {
        let mut parts = gecos.split(',');
        let full_name = parts.next().unwrap_or_default();
        let (givenname, surname) = full_name.split_once(' ').unwrap_or((full_name, ""));
        let name_only = Self { givenname, surname, ..Self::default() };
        let (Some(_), Some(mobile), Some(phone)) = (parts.next(), parts.next(), parts.next()) else {
            return name_only;
        };
        let email = parts.rfind(|part| is_email(part)).unwrap_or_default();
        Self { mobile, phone, email, ..name_only }
    }
}

/// `.+@.+\..+`: something, an at sign, something, a dot, something.
fn is_email(text: &str) -> bool {
    let mut after_first = text.chars();
    after_first.next();
    let Some((_, host)) = after_first.as_str().split_once('@') else {
        return false;
    };
    let mut after_first = host.chars();
    after_first.next();
    after_first.as_str().split_once('.').is_some_and(|(_, rest)| !rest.is_empty())
}

/// One user; the record others see is built when it is first asked for.
struct User {
    login: Box<str>,
    uid: Box<str>,
    gecos: Box<str>,
    cryptpass: Box<str>,
    entry: OnceLock<Arc<UserEntry>>,
}

impl User {
    fn new(line: &PasswdLine<'_>) -> Self {
        Self {
            login: line.login.into(),
            uid: line.uid.into(),
            gecos: line.gecos.into(),
            cryptpass: line.cryptpass.into(),
            entry: OnceLock::new(),
        }
    }

    fn entry(&self) -> Arc<UserEntry> {
        Arc::clone(self.entry.get_or_init(|| Arc::new(self.build_entry())))
    }

    fn build_entry(&self) -> UserEntry {
        let gecos = Gecos::parse(&self.gecos);
        let attributes = [
            ("username", &*self.login),
            ("userid", &*self.uid),
            ("description", &*self.gecos),
            ("email", gecos.email),
            ("givenname", gecos.givenname),
            ("surname", gecos.surname),
            ("phone", gecos.phone),
            ("mobile", gecos.mobile),
        ];
        UserEntry {
            user_id: UserId::from(&*self.uid),
            login: self.login.clone().into_string(),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
    }
}

/// All users of a file.
///
/// A user id is one user: of several lines with the same id the last one counts, and every login of them leads to
/// it. Of several lines with the same login the last one decides which id the login means.
pub(super) struct Table {
    /// In the order in which their ids first appear.
    users: Vec<User>,
    by_login: HashMap<Box<str>, usize>,
    by_uid: HashMap<Box<str>, usize>,
    content_hash: [u8; 32],
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl Table {
    /// Reads a whole file; lines that cannot be used are logged by number and skipped.
    pub(super) fn parse(bytes: &[u8], resolver: &str) -> Self {
        let mut table = Self {
            users: Vec::new(),
            by_login: HashMap::new(),
            by_uid: HashMap::new(),
            content_hash: Sha256::digest(bytes).into(),
        };
        let mut skipped = 0_usize;
        for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let parsed = std::str::from_utf8(line).map_err(|_| LineError::NotUtf8).and_then(parse_line);
            match parsed {
                Ok(line) => table.insert(&line),
                Err(error) => {
                    skipped += 1;
                    if skipped <= LOGGED_LINES_MAX {
                        let line = index + 1;
                        tracing::warn!(resolver.name = resolver, line, reason = %error, "line of password file skipped");
                    }
                }
            }
        }
        if skipped > LOGGED_LINES_MAX {
            tracing::warn!(resolver.name = resolver, skipped, "many lines of password file skipped");
        }
        table
    }

    fn insert(&mut self, line: &PasswdLine<'_>) {
        let user = User::new(line);
        let known = self.by_uid.get(line.uid).copied();
        let index = known.unwrap_or(self.users.len());
        match known.and_then(|index| self.users.get_mut(index)) {
            Some(slot) => *slot = user,
            None => {
                self.by_uid.insert(line.uid.into(), index);
                self.users.push(user);
            }
        }
        self.by_login.insert(line.login.into(), index);
    }

    pub(super) const fn user_count(&self) -> usize {
        self.users.len()
    }

    pub(super) const fn content_hash(&self) -> [u8; 32] {
        self.content_hash
    }

    pub(super) fn find_by_login(&self, login: &str) -> Option<Arc<UserEntry>> {
        self.by_login.get(login).and_then(|&index| self.users.get(index)).map(User::entry)
    }

    pub(super) fn find_by_uid(&self, uid: &str) -> Option<Arc<UserEntry>> {
        self.by_uid.get(uid).and_then(|&index| self.users.get(index)).map(User::entry)
    }

    /// The stored hash of a user, for the password check only.
    pub(super) fn password_hash(&self, uid: &str) -> Option<Zeroizing<String>> {
        let user = self.by_uid.get(uid).and_then(|&index| self.users.get(index))?;
        Some(Zeroizing::new(user.cryptpass.to_string()))
    }

    /// The users that match. Their records are built for the answer and not kept, so that listing a large file
    /// does not fill the memory for good.
    pub(super) fn search(&self, terms: &[SearchTerm]) -> Vec<Arc<UserEntry>> {
        let conditions: Vec<Vec<Criterion>> = terms.iter().map(Criterion::alternatives).collect();
        self.users
            .iter()
            .filter(|user| {
                conditions.iter().all(|any_of| any_of.iter().any(|criterion| criterion.matches(user)))
            })
            .map(|user| user.entry.get().map_or_else(|| Arc::new(user.build_entry()), Arc::clone))
            .collect()
    }
}

/// One condition of a search.
#[derive(Debug)]
enum Criterion {
    Login(TextPattern),
    /// On the raw GECOS field: `description` and, as in LinOTP, `email`.
    Gecos(TextPattern),
    Uid(NumberPattern),
    /// A field that cannot be searched, or a user id pattern that is no number.
    Nobody,
}

impl Criterion {
    fn parse(field: &str, pattern: &str) -> Self {
        match field {
            "username" => Self::Login(TextPattern::parse(pattern)),
            "userid" => NumberPattern::parse(pattern).map_or(Self::Nobody, Self::Uid),
            "description" | "email" => Self::Gecos(TextPattern::parse(pattern)),
            _ => Self::Nobody,
        }
    }

    /// The criteria of which one has to match.
    fn alternatives(term: &SearchTerm) -> Vec<Self> {
        let fields: &[&str] = match term.field.as_str() {
            // `email` would say the same as `description`.
            ANY_FIELD => &["username", "userid", "description"],
            field => &[field],
        };
        fields.iter().map(|field| Self::parse(field, &term.pattern)).collect()
    }

    fn matches(&self, user: &User) -> bool {
        match self {
            Self::Login(pattern) => pattern.matches(&user.login),
            Self::Gecos(pattern) => pattern.matches(&user.gecos),
            Self::Uid(pattern) => pattern.matches(&user.uid),
            Self::Nobody => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn gecos(text: &str, expected: [&str; 5]) {
        let [givenname, surname, mobile, phone, email] = expected;
        assert_eq!(Gecos::parse(text), Gecos { givenname, surname, mobile, phone, email }, "{text:?}");
    }

    #[test]
    fn gecos_parts_are_found_by_position() {
        gecos("", ["", "", "", "", ""]);
        gecos("Alice", ["Alice", "", "", "", ""]);
        gecos("Alice van der Berg", ["Alice", "van der Berg", "", "", ""]);
        gecos("Alice Berg,Room 5,0171", ["Alice", "Berg", "", "", ""]);
        gecos("Alice Berg,Room 5,0171,0301", ["Alice", "Berg", "0171", "0301", ""]);
        gecos("Alice Berg,,,,a@b.example", ["Alice", "Berg", "", "", "a@b.example"]);
        gecos("Alice Berg,,1,2,a@b.example,x,c@d.example,y", ["Alice", "Berg", "1", "2", "c@d.example"]);
        // An address in one of the first four parts is not looked at.
        gecos("Alice Berg,a@b.example,1,2", ["Alice", "Berg", "1", "2", ""]);
    }

    #[test]
    fn email_addresses_are_recognised_by_shape() {
        for (text, expected) in [
            ("a@b.c", true),
            ("first last@b.c", true),
            ("@@b.c", true),
            ("ä@ö.ü", true),
            ("a@b@c.d", true),
            ("a@..c", true),
            ("@b.c", false),
            ("a@.c", false),
            ("a@b.", false),
            ("a@bc", false),
            ("a.b", false),
            ("", false),
        ] {
            assert_eq!(is_email(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_without_the_necessary_fields_are_refused() {
        for (line, error) in [
            ("alice", LineError::TooFewFields),
            ("alice:x:1:1", LineError::TooFewFields),
            (":x:1:1:", LineError::EmptyLogin),
            ("alice:x::1:", LineError::EmptyUid),
        ] {
            assert_eq!(parse_line(line).unwrap_err(), error, "{line:?}");
        }
        assert_eq!(parse_line("alice:hash:1:1:").unwrap().cryptpass, "hash");
    }

    #[test]
    fn hashes_do_not_appear_in_debug_output() {
        let line = parse_line("alice:SECRETHASH:1:1:Alice").unwrap();
        let table = Table::parse(b"alice:SECRETHASH:1:1:Alice", "files");
        let entry = table.find_by_login("alice").unwrap();
        assert!(!format!("{line:?} {table:?} {entry:?}").contains("SECRETHASH"));
    }
}
