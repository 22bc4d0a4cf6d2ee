//! Logins through two gateways over one Redis, in front of servers that keep their codes and tokens in memory.

use bartizan_testkit::{RedisServer, Server, eventually};

use crate::{
    fixtures::{Gateway, PATIENCE},
    oauth::{FORM, JSON, ROUND_ROBIN, log_in_by, send, servers},
};

/// Two gateways with `args`. Each sends its first request to a different server, so that a login whose steps are not
/// kept together fails at once.
async fn two(servers: &[Server], args: &[&str]) -> [Gateway; 2] {
    let uris = [servers[0].uri(), servers[1].uri()];
    let reversed = [servers[1].uri(), servers[0].uri()];
    let args: Vec<_> = [ROUND_ROBIN].iter().chain(args).copied().collect();
    [Gateway::before(&uris, &args).await, Gateway::before(&reversed, &args).await]
}

#[tokio::test]
async fn the_steps_of_a_login_may_go_through_either_gateway() {
    let (servers, _memories) = servers().await;
    let redis = RedisServer::start().await;
    let store = format!("--store={}", redis.url());
    let [a, b] = two(&servers, &["--pin-oauth", &store]).await;
    let mut sessions = Vec::new();
    // Every step through either gateway; then each gateway alone with the keys that the other has learned.
    for order in [&[&a, &b][..], &[&b, &a], &[&a, &a, &b], &[&b, &b, &a], &[&a, &b, &b, &b]] {
        sessions.push(log_in_by(order, None).await.unwrap());
    }
    for name in ["session-a", "session-b"] {
        assert!(sessions.iter().any(|id| id.starts_with(name)), "both are used: {sessions:?}");
    }
    // A client that every server knows stays where it began, through either gateway.
    for order in [&[&a, &b][..], &[&b, &a]] {
        log_in_by(order, Some("static")).await.unwrap();
    }
    let keys = redis.cli(&["--scan", "--pattern", "bartizan-oauth:{*"]);
    assert!(keys.lines().count() > 20, "they are kept at the server: {keys}");
    for secret in ["client", "txn", "code", "token", "static"] {
        let values: Vec<_> = keys.lines().map(|key| redis.cli(&["GET", key])).collect();
        assert!(!keys.contains(secret) && !values.concat().contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn without_the_option_or_the_shared_store_a_login_over_two_gateways_fails() {
    let (servers, _memories) = servers().await;
    let redis = RedisServer::start().await;
    let store = format!("--store={}", redis.url());
    for args in [&[store.as_str()][..], &["--pin-oauth"]] {
        let [a, b] = two(&servers, args).await;
        assert_eq!(log_in_by(&[&a, &b], None).await, Err("authorize"), "{args:?}");
    }
}

#[tokio::test]
async fn a_client_that_one_gateway_has_seen_registered_leads_to_its_server_at_the_other() {
    let (servers, _memories) = servers().await;
    let redis = RedisServer::start().await;
    let store = format!("--store={}", redis.url());
    let [a, b] = two(&servers, &["--pin-oauth", &store]).await;
    for (one, other) in [(&a, &b), (&b, &a)] {
        let registered = send(one, "POST", "/register", &[JSON], "{}").await;
        let client = registered.message()["client_id"].as_str().unwrap().to_owned();
        let server = &registered.headers["x-server"];
        // The client id alone decides the backend, however often and through whichever gateway it
        // is sent.
        for gateway in [other, one, other, other] {
            let form = format!("client_id={client}");
            let answer = send(gateway, "POST", "/any", &[FORM], &form).await;
            assert_eq!(&answer.headers["x-server"], server);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_forgotten_at_both() {
    let (mut servers, _memories) = servers().await;
    let redis = RedisServer::start().await;
    let store = format!("--store={}", redis.url());
    let [a, b] = two(&servers, &["--pin-oauth", &store]).await;
    let registered = send(&a, "POST", "/register", &[JSON], "{}").await;
    let client = registered.message()["client_id"].as_str().unwrap().to_owned();
    let authorize = format!("/authorize?client_id={client}&state=mine");
    assert_eq!(send(&b, "GET", &authorize, &[], "").await.status, 302, "the other knows it, too");
    servers[usize::from(client.starts_with("client-b"))].kill().await;
    assert!(send(&a, "GET", &authorize, &[], "").await.status.is_server_error());
    // The other server does not know the client and says so, through both gateways.
    assert_eq!(send(&a, "GET", &authorize, &[], "").await.status, 401);
    let is_forgotten = async || send(&b, "GET", &authorize, &[], "").await.status == 401;
    eventually("the other gateway has forgotten it", PATIENCE, is_forgotten).await;
    log_in_by(&[&a, &b], None).await.unwrap();
}

/// The store of learned keys has its own connection, and the gateway does not listen before that is ready, too.
#[tokio::test]
async fn a_gateway_that_has_just_started_refuses_no_step_of_a_login() {
    let (servers, _memories) = servers().await;
    let redis = RedisServer::start().await;
    let store = format!("--store={}", redis.url());
    let uris = [servers[0].uri(), servers[1].uri()];
    for _ in 0..10 {
        let gateway = Gateway::before(&uris, &["--pin-oauth", &store]).await;
        assert_eq!(send(&gateway, "GET", "/any?client_id=a", &[], "").await.status, 200);
    }
}
