//! The issuer and the subject of a bearer token that is a JWT. Pure.
//!
//! ```text
//! credentials = "Bearer" 1*SP token        RFC 6750 §2.1, the scheme in any case: RFC 9110 §11.1
//! token       = header "." payload "." signature        RFC 7515 §7.1, three parts
//! payload     = base64url without padding, a JSON object with the strings "iss" and "sub"
//! ```
//!
//! Nothing is verified. These tokens are not read: without issuer or subject; with either of them twice, empty, not a
//! string, or too long; with a reserved issuer; encrypted (five parts).

use std::borrow::Cow;

use bartizan_core::Principal;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::bounds::{MAX_NAME_BYTES, MAX_PAYLOAD_BYTES, RESERVED};

#[derive(Deserialize)]
struct Claims<'a> {
    // A `Cow`, because text with an escape cannot be borrowed.
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
}

/// The caller named by the `Authorization` value `credentials`, if that is a bearer JWT.
pub(crate) fn principal(credentials: &[u8]) -> Option<Principal> {
    let payload = payload(bearer(credentials)?)?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        return None;
    }
    let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
    // serde would also accept an array for a struct.
    json.trim_ascii_start().starts_with(b"{").then_some(())?;
    let Claims { iss, sub } = serde_json::from_slice(&json).ok()?;
    let is_named = !iss.is_empty() && !sub.is_empty() && iss.len() + sub.len() <= MAX_NAME_BYTES;
    // A forged token must not get a name that this crate gives.
    (is_named && !iss.starts_with(RESERVED)).then(|| Principal::new(&iss, &sub))
}

/// The token of the scheme `Bearer`.
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = credentials.split_at_checked("bearer".len())?;
    let token = rest.trim_ascii_start();
    let has_space = rest.first() == Some(&b' ');
    (scheme.eq_ignore_ascii_case(b"bearer") && has_space && !token.is_empty()).then_some(token)
}

/// The second of exactly three parts.
fn payload(token: &[u8]) -> Option<&[u8]> {
    let mut parts = token.split(|byte| *byte == b'.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(_), None) if !header.is_empty() => Some(payload),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(payload: &str) -> String {
        format!("Bearer e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    fn read(payload: &str) -> Option<Principal> {
        principal(token(payload).as_bytes())
    }

    #[test]
    fn issuer_and_subject_are_read_and_all_else_may_change() {
        let alice = Some(Principal::new("https://i", "alice"));
        for payload in [
            r#"{"iss":"https://i","sub":"alice","exp":1,"jti":"a"}"#,
            r#"{"exp":2,"sub":"alice","nested":{"iss":"x","sub":["y"]},"iss":"https://i"}"#,
            r#" { "iss" : "https:\/\/i" , "sub" : "\u0061lice" } "#,
        ] {
            assert_eq!(read(payload), alice, "{payload}");
        }
        let value = token(r#"{"iss":"https://i","sub":"alice"}"#);
        for scheme in ["bearer ", "BEARER ", "Bearer   "] {
            let value = value.replace("Bearer ", scheme);
            assert_eq!(principal(value.as_bytes()), alice, "{scheme}");
        }
        // An unsecured token has an empty signature (RFC 7519 §6.1); the backend refuses it.
        assert_eq!(principal(value.replace("c2ln", "").as_bytes()), alice);
        assert_ne!(read(r#"{"iss":"https://i","sub":"bob"}"#), alice);
        assert_ne!(read(r#"{"iss":"https://j","sub":"alice"}"#), alice);
    }

    #[test]
    fn what_is_not_exactly_a_bearer_jwt_with_issuer_and_subject_is_not_read() {
        for payload in [
            r#"{"iss":"i"}"#,
            r#"{"sub":"s"}"#,
            r#"{"iss":"","sub":"s"}"#,
            r#"{"iss":"i","sub":""}"#,
            r#"{"iss":"i","sub":7}"#,
            r#"{"iss":null,"sub":"s"}"#,
            r#"{"iss":"i","sub":"s","sub":"s"}"#,
            r#"{"iss":"i","iss":"j","sub":"s"}"#,
            r#"{"iss":"i","sub":"s"} {}"#,
            r#"["i","s"]"#,
            r#"{"iss":"bartizan:authorization","sub":"s"}"#,
            "7",
            "",
        ] {
            assert_eq!(read(payload), None, "{payload}");
        }
        let long = format!(r#"{{"iss":"i","sub":"{}"}}"#, "s".repeat(MAX_NAME_BYTES));
        assert_eq!(read(&long), None);
        let large = format!(r#"{{"iss":"i","sub":"s","x":"{}"}}"#, "x".repeat(MAX_PAYLOAD_BYTES));
        assert_eq!(read(&large), None);

        let good = token(r#"{"iss":"i","sub":"s"}"#);
        assert!(principal(good.as_bytes()).is_some());
        for value in [
            good.replace("Bearer ", "Basic "),
            good.replace("Bearer ", "Bearer"),
            good.replace("Bearer ", "Bearer\t"),
            good.replace("Bearer ", ""),
            good.replace("e30.", ""),
            good.replace("e30.", "."),
            format!("{good}.a.b"),
            good.replace(".c2ln", "=.c2ln"),
            good.replace(".c2ln", "+.c2ln"),
            "Bearer ..".to_owned(),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            "Bearer opaque".to_owned(),
            String::new(),
        ] {
            assert_eq!(principal(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_issuer_and_subject_are_read_as_they_are(iss in ".{1,20}", sub in ".{1,20}") {
            let payload = serde_json::json!({ "iss": iss, "sub": sub, "exp": 1 });
            prop_assert_eq!(read(&payload.to_string()), Some(Principal::new(&iss, &sub)));
        }

        #[test]
        fn no_bytes_are_too_odd_to_be_looked_at(bytes in proptest::collection::vec(0u8.., 0..200)) {
            let _ = principal(&bytes);
            let _ = principal(&[b"Bearer ", &bytes[..]].concat());
            let _ = principal(token(&String::from_utf8_lossy(&bytes)).as_bytes());
        }
    }
}
