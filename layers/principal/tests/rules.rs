//! The rule table of the crate's front page, row by row.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::convert::Infallible;

use bartizan_core::{Passage, Principal};
use bartizan_principal::NamePrincipalLayer;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tower::{Layer, ServiceExt, service_fn};

type Fields<'a> = &'a [(&'static str, &'a str)];

fn bearer(iss: &str, sub: &str, more: &str) -> String {
    let claims = format!(r#"{{"iss":"{iss}","sub":"{sub}","jti":"{more}"}}"#);
    format!("Bearer e30.{}.{more}", URL_SAFE_NO_PAD.encode(claims))
}

fn request(fields: Fields<'_>) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(HeaderName::from_static(name), value);
    }
    request
}

/// What the inner service sees of `request`: its caller, whether the caller may bind sessions, and its fields.
fn seen(layer: &NamePrincipalLayer, request: Request<()>) -> (Option<Principal>, bool, HeaderMap) {
    let inner = service_fn(async |request: Request<()>| {
        let may_bind = Passage::of(&request).is_some_and(Passage::may_bind);
        let seen = (Principal::of(&request).cloned(), may_bind, request.headers().clone());
        Ok::<_, Infallible>(seen)
    });
    layer.layer(inner).oneshot(request).now_or_never().unwrap().unwrap()
}

fn who(layer: &NamePrincipalLayer, fields: Fields<'_>) -> Option<Principal> {
    // The second time from the cache.
    let twice = [(); 2].map(|()| seen(layer, request(fields)).0);
    assert_eq!(twice[0], twice[1]);
    twice[0].clone()
}

fn by_trusted(fields: Fields<'_>, trusts: bool) -> Request<()> {
    let mut request = request(fields);
    Passage::with(&mut request, |passage| passage.set_trusts_peer(trusts));
    request
}

#[test]
fn a_refreshed_jwt_is_the_same_caller_and_another_subject_or_issuer_is_not() {
    let jwt = NamePrincipalLayer::jwt();
    let of = |token: &str| who(&jwt, &[("authorization", token)]);
    let alice = Some(Principal::new("https://i", "alice"));
    assert_eq!(of(&bearer("https://i", "alice", "1")), alice);
    assert_eq!(of(&bearer("https://i", "alice", "2")), alice);
    assert_eq!(of(&bearer("https://i", "bob", "1")), Some(Principal::new("https://i", "bob")));
    assert_eq!(of(&bearer("https://j", "alice", "1")), Some(Principal::new("https://j", "alice")));
    assert_eq!(who(&jwt, &[]), None);
}

#[test]
fn credentials_that_name_nobody_are_named_by_a_digest_and_never_count_as_none() {
    let jwt = NamePrincipalLayer::jwt();
    let authorization = NamePrincipalLayer::authorization();
    let alice = bearer("i", "alice", "1");
    let long = format!("Bearer {}", "x".repeat(20_000));
    let values = ["Bearer opaque-1", "Bearer opaque-2", "Basic YTpi", "Bearer e30.e30.", "", &long];
    let mut names = Vec::new();
    for value in values {
        let name = who(&jwt, &[("authorization", value)]);
        assert!(name.is_some(), "{value}");
        assert_eq!(name, who(&authorization, &[("authorization", value)]), "as without JWT");
        assert!(!names.contains(&name), "{value} is a separate caller");
        assert!(!format!("{name:?}").contains("opaque"));
        names.push(name);
    }
    // With `authorization`, each token is a separate caller, whatever its content.
    let of = |token: &str| who(&authorization, &[("authorization", token)]);
    assert_ne!(of(&alice), of(&bearer("i", "alice", "2")));
    // A forged token cannot get the name of a digest.
    let digest = of("Bearer opaque-1").unwrap();
    let forged = bearer(digest.issuer(), digest.subject(), "1");
    assert_ne!(who(&jwt, &[("authorization", &forged)]), Some(digest));
}

#[test]
fn two_lines_of_credentials_are_nobody_that_one_of_them_names() {
    let (alice, bob) = (bearer("i", "alice", "1"), bearer("i", "bob", "1"));
    for layer in [NamePrincipalLayer::jwt(), NamePrincipalLayer::authorization()] {
        let of = |lines: Fields<'_>| who(&layer, lines);
        let (one, two) = (("authorization", &*alice), ("authorization", &*bob));
        let both = of(&[one, two]);
        assert!(both.is_some());
        for other in [of(&[one]), of(&[two]), of(&[two, one]), of(&[one, one]), None] {
            assert_ne!(both, other);
        }
    }
}

#[test]
fn a_field_names_the_caller_where_a_trusted_peer_states_it_and_goes_otherwise() {
    let layer = NamePrincipalLayer::header(HeaderName::from_static("x-user")).unwrap();
    let stated = [("x-user", " alice "), ("x_user", "mallory"), ("accept", "*/*")];
    let alice = Some(Principal::new("bartizan:header:x-user", "alice"));
    let (name, _, fields) = seen(&layer, by_trusted(&stated, true));
    assert_eq!(name, alice);
    assert_eq!(fields["x-user"], " alice ");
    assert!(!fields.contains_key("x_user"));
    for untrusted in [by_trusted(&stated, false), request(&stated)] {
        let (name, _, fields) = seen(&layer, untrusted);
        assert_eq!(name, None);
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["accept"]);
    }
    // A trusted proxy that adds its line to the client's.
    let twice = by_trusted(&[("x-user", "alice"), ("x-user", "mallory")], true);
    let (name, _, _) = seen(&layer, twice);
    assert!(name.is_some() && name != alice);
    for nobody in [by_trusted(&[], true), by_trusted(&[("x-user", " ")], true)] {
        assert_eq!(seen(&layer, nobody).0, None);
    }
    let long = "x".repeat(513);
    let (name, ..) = seen(&layer, by_trusted(&[("x-user", &long)], true));
    assert_eq!(name.unwrap().subject().len(), 64);
    // The content of a token does not matter here, and neither do the values of other fields.
    let token = bearer("i", "alice", "1");
    let (name, ..) = seen(&layer, by_trusted(&[("authorization", &token)], true));
    assert_eq!(name, None);
    let (name, ..) = seen(&NamePrincipalLayer::jwt(), by_trusted(&stated, true));
    assert_eq!(name, None);
}

#[test]
fn a_caller_that_was_named_above_stays_and_none_names_nobody() {
    let token = bearer("i", "mallory", "1");
    let fields = [("authorization", &*token), ("x-user", "mallory")];
    let alice = Principal::new("verified", "alice");
    for layer in [
        NamePrincipalLayer::jwt(),
        NamePrincipalLayer::authorization(),
        NamePrincipalLayer::header(HeaderName::from_static("x-user")).unwrap(),
    ] {
        let mut named = by_trusted(&fields, true);
        alice.clone().attach(&mut named);
        let (name, may_bind, _) = seen(&layer, named);
        assert_eq!((name, may_bind), (Some(alice.clone()), false));
    }
    let (name, may_bind, left) = seen(&NamePrincipalLayer::none(), by_trusted(&fields, true));
    assert_eq!((name, may_bind, left.len()), (None, false, 2));
}

#[test]
fn callers_may_bind_sessions_unless_that_is_switched_off() {
    let token = bearer("i", "alice", "1");
    let request = || request(&[("authorization", &token)]);
    assert!(seen(&NamePrincipalLayer::jwt(), request()).1);
    assert!(!seen(&NamePrincipalLayer::jwt().binds_anonymous(false), request()).1);
}
