//! Passwords of local administrators: argon2id in PHC form (DESIGN section 5).

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tessera_core::secret::SecretText;

/// The hash could not be computed.
#[derive(Debug, thiserror::Error)]
#[error("argon2id failed")]
pub(crate) struct HashError(#[source] argon2::password_hash::Error);

/// Hashes a password with a fresh salt and the library's parameters (19 MiB, two passes, one lane: OWASP's
/// recommendation). Slow on purpose.
pub(crate) fn hash(password: &SecretText) -> Result<SecretText, HashError> {
    let hash: PasswordHash =
        Argon2::default().hash_password(password.expose().as_bytes()).map_err(HashError)?;
    Ok(SecretText::new(hash.to_string()))
}

/// Compares a password with a hash; what is no hash, such as the `*` of an administrator without a password,
/// matches nothing. The parameters of the hash are trusted: only the cluster itself writes them.
pub(crate) fn verify(hash: &SecretText, password: &SecretText) -> bool {
    PasswordHash::new(hash.expose())
        .is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_accepts_its_password_and_no_other() {
        let stored = hash(&"geheim".into()).unwrap();
        assert!(stored.expose().starts_with("$argon2id$v=19$"), "{}", stored.expose());
        assert!(verify(&stored, &"geheim".into()));
        assert!(!verify(&stored, &"geheim ".into()));
        assert!(!verify(&stored, &"".into()));
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        assert_ne!(hash(&"geheim".into()).unwrap(), hash(&"geheim".into()).unwrap());
    }

    /// Vector of the argon2 reference implementation (its test.c, argon2id, version 19).
    #[test]
    fn a_hash_of_the_reference_implementation_is_accepted() {
        let stored = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(verify(&stored.into(), &"password".into()));
        assert!(!verify(&stored.into(), &"passwort".into()));
    }

    #[test]
    fn what_is_no_hash_matches_nothing() {
        for stored in
            ["", "*", "geheim", "$argon2id$", "$5$saltsalt$gOjOtoMpVhru2uyjeJSEc/JaLQWOXMNmlOnj6T4AtC."]
        {
            assert!(!verify(&stored.into(), &"geheim".into()), "{stored}");
        }
    }
}
