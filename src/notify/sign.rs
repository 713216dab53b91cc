//! Standard Webhooks 1.0: `v1,` and the base64 of an HMAC-SHA256 over `id.timestamp.body`.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// A key's bytes, by the specification.
const KEY_BYTES: core::ops::RangeInclusive<usize> = 24..=64;

/// A secret as receivers take it, of fresh random bytes.
pub fn secret_of(random: [u8; 32]) -> String {
    format!("{PREFIX}{}", BASE64.encode(&random))
}

/// Whether this can be used to sign.
pub fn is_secret(secret: &str) -> bool {
    key(secret).is_some()
}

fn key(secret: &str) -> Option<Vec<u8>> {
    let key = BASE64.decode(secret.strip_prefix(PREFIX)?.as_bytes()).ok()?;
    KEY_BYTES.contains(&key.len()).then_some(key)
}

/// The signatures of a message, one for each secret, as `webhook-signature` has them: a receiver
/// takes the message if it knows any. `timestamp` in seconds. `None` where no secret can be used.
///
/// ```
/// let signature = farebox::notify::sign(
///     ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
///     "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#,
/// );
/// assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
/// ```
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a str>,
    id: &str,
    timestamp: u64,
    body: &str,
) -> Option<String> {
    let mut signatures = Vec::new();
    for key in secrets.into_iter().filter_map(key) {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        signatures.push(format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())));
    }
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_reference_libraries_vectors_are_signed_alike_and_two_secrets_give_two_signatures() {
        let first = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek");
        let body = r#"{"test": 2432232314}"#;
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign([first.0], first.1, 1_614_265_330, body).unwrap(), one);
        let second = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let (id, body) = (
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            r#"{"email":"test@example.com","username":"test_user"}"#,
        );
        let two = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        assert_eq!(sign([second], id, 1_649_367_553, body).unwrap(), two);
        let both = sign([second, first.0], id, 1_649_367_553, body).unwrap();
        assert!(both.starts_with(two) && both.split(' ').count() == 2);
    }

    #[test]
    fn an_empty_short_or_bare_secret_signs_nothing() {
        for bad in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_#"] {
            assert!(!is_secret(bad) && sign([bad], "a", 1, "b").is_none(), "{bad}");
        }
        assert!(is_secret(&secret_of([7; 32])));
    }
}
