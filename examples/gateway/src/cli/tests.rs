//! Which options are accepted, and the message for each mistake.

use std::time::Duration;

use bartizan::pin::Probe;
use http::HeaderName;

use super::{checks::Chosen, *};

fn parse(args: &[&str]) -> Result<Cli, String> {
    let command = Cli::command().mut_args(|arg| arg.env(Resettable::Reset));
    let args = ["bartizan-gateway"].iter().chain(args);
    let matches = command.try_get_matches_from(args).map_err(|error| error.to_string())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.to_string())
}

fn with_backend(args: &[&str]) -> Result<Options, String> {
    let args = ["--backend", "http://127.0.0.1:9001"].iter().chain(args).copied();
    parse(&args.collect::<Vec<_>>()).map(|cli| cli.options)
}

#[test]
fn the_command_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_option_but_the_backends_has_a_default() {
    let options = with_backend(&[]).unwrap();
    assert_eq!(options.listener.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(options.upstream.backends.len(), 1);
    assert_eq!(options.sessions.idle, Duration::from_secs(7200));
    assert_eq!(options.sessions.lifetime, Duration::from_secs(86_400));
    assert_eq!(options.upstream.response_timeout, Limit::None);
    assert_eq!(options.listener.max_body, Limit::None);
    assert_eq!(options.upstream.max_connections_per_backend, Limit::None);
    assert_eq!(options.listener.certificate(), None);
    assert_eq!(options.listener.workers(), std::thread::available_parallelism().unwrap());
    assert_eq!(options.sessions.max_sessions_per_principal, Limit::None);
    assert_eq!(options.sessions.max_sessions_per_client, Limit::None);
    assert_eq!(
        (options.sessions.max_streams.get(), options.sessions.stream_keepalive),
        (100_000, Limit::None)
    );
    assert_eq!(options.upstream.policy, Policy::LeastSessions);
    assert_eq!(options.upstream.probe, Limit::None);
    let times = (options.upstream.probe_interval, options.upstream.probe_timeout);
    assert_eq!(times, (Duration::from_secs(5), Duration::from_secs(2)));
    assert!(options.sessions.session_header.is_none() && options.sessions.sessionless.is_none());
    assert_eq!(options.sessions.endpoints, ["/mcp"]);
}

#[test]
fn as_many_connections_as_there_is_room_for_by_default_and_a_warning_past_that() {
    for (args, max, warns) in [
        (&[][..], 496, false),
        (&["--max-connections=496"], 496, false),
        (&["--max-connections=497"], 497, true),
        (&["--max-connections=1"], 1, false),
    ] {
        let listener = with_backend(args).unwrap().listener;
        assert_eq!(listener.max_connections(496), max);
        assert_eq!(listener.too_many_connections(496).is_some(), warns, "{args:?}");
    }
}

#[test]
fn values_are_read_with_their_units() {
    let options = with_backend(&[
        "--max-body=10MiB",
        "--workers=3",
        "--response-timeout=1m 30s",
        "--connect-timeout=250ms",
        "--backend=h2c://a:1,https://b.example",
        "--session-header=X-Session",
        "--sessionless=refuse",
        "--policy=round-robin",
        "--max-connections-per-backend=5",
        "--tls-cert=/a/cert.pem",
        "--tls-key=/a/key.pem",
        "--max-sessions=3",
        "--max-sessions-per-principal=2",
        "--max-sessions-per-client=4",
        "--max-streams=4",
        "--stream-keepalive=25s",
        "--probe=/healthz?full",
        "--probe-interval=1s",
        "--probe-timeout=300ms",
    ]);
    let options = options.unwrap();
    assert_eq!(options.listener.max_body, Limit::At(10 * 1024 * 1024));
    assert_eq!(options.listener.workers().get(), 3);
    assert_eq!(options.upstream.response_timeout, Limit::At(Duration::from_secs(90)));
    assert_eq!(options.upstream.connect_timeout, Duration::from_millis(250));
    assert_eq!(options.upstream.backends.len(), 3);
    assert_eq!(options.upstream.max_connections_per_backend.get().unwrap().get(), 5);
    let files = options.listener.certificate().unwrap();
    assert_eq!(
        (files.cert.to_str(), files.key.to_str()),
        (Some("/a/cert.pem"), Some("/a/key.pem"))
    );
    assert_eq!(options.sessions.session_header.unwrap(), "x-session");
    assert_eq!((options.sessions.max_sessions.get(), options.sessions.max_streams.get()), (3, 4));
    assert_eq!(options.sessions.max_sessions_per_principal.get().unwrap().get(), 2);
    assert_eq!(options.sessions.max_sessions_per_client.get().unwrap().get(), 4);
    assert_eq!(options.sessions.stream_keepalive, Limit::At(Duration::from_secs(25)));
    assert_eq!(options.upstream.probe, Limit::At(Probe::get("/healthz?full").unwrap()));
    let times = (options.upstream.probe_interval, options.upstream.probe_timeout);
    assert_eq!(times, (Duration::from_secs(1), Duration::from_millis(300)));
    for (text, bytes) in [("0", 0), ("65536", 65_536), ("1GB", 1_000_000_000), ("2 kib", 2048)] {
        let options = with_backend(&["--max-body", text]).unwrap();
        assert_eq!(options.listener.max_body, Limit::At(bytes), "{text}");
    }
}

#[test]
fn a_bad_value_names_the_option_and_what_was_expected() {
    for (option, value, expected) in [
        ("--listen", "localhost", "an IP address and a port"),
        ("--backend", "http://a/mcp", "a backend is an origin"),
        ("--backend", "ftp://a", "http, https or h2c"),
        ("--backend", "a b", "expected an origin"),
        ("--store", "redis", "memory, or a URL such as redis://"),
        ("--store", "http://a", "memory, or a URL such as redis://"),
        ("--store-timeout", "0s", "a duration above zero"),
        ("--store-grace", "soon", "such as 30s, or 0s"),
        ("--near-cache", "0", "above zero, or off"),
        ("--admin", "9090", "an IP address and a port"),
        ("--max-connections-per-backend", "0", "a whole number above zero, or none"),
        ("--probe", "healthz", "a path such as /healthz, or off"),
        ("--probe-interval", "0s", "a duration above zero"),
        ("--probe-timeout", "2", "a duration above zero"),
        ("--route", "", "a name"),
        ("--session-header", "a b", "a header field name"),
        ("--session-header", "connection", "reserved by HTTP"),
        ("--session-header", "Mcp-Session-Id", "need no --session-header"),
        ("--endpoint", "mcp", "a path such as /mcp"),
        ("--endpoint", "", "a path such as /mcp"),
        ("--endpoint", "/mcp?x", "without a query"),
        ("--sessionless", "maybe", "refuse, forward"),
        ("--principal", "token", "expected none, jwt, authorization, or header:"),
        ("--principal", "header:", "such as header:x-user"),
        ("--principal", "header:a b", "such as header:x-user"),
        ("--principal", "header:host", "reserved by HTTP"),
        ("--principal", "header:Authorization", "use the source authorization or jwt"),
        ("--idle", "2", "a duration above zero with its unit"),
        ("--idle", "0s", "a duration above zero"),
        ("--lifetime", "50days", "at most 49days"),
        ("--max-sessions", "0", "a whole number above zero"),
        ("--max-sessions-per-principal", "0", "above zero, or none"),
        ("--max-sessions-per-client", "0", "above zero, or none"),
        ("--max-sessions-per-principal", "many", "above zero, or none"),
        ("--max-streams", "0", "a whole number above zero"),
        ("--stream-keepalive", "0s", "above zero"),
        ("--stream-keepalive", "often", "or none"),
        ("--stream-keepalive", "1ms", "at least 100ms"),
        ("--shutdown-timeout", "0s", "a duration above zero"),
        ("--drain-delay", "none", "such as 30s, or 0s"),
        ("--trust", "10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("--trust", "balancer", "a network such as 10.0.0.0/8"),
        ("--trust-count", "0", "a whole number from 1 to 255"),
        ("--forwarded", "maybe", "append, replace, off"),
        ("--client-ip-header", "X-Forwarded-For", "without this setting"),
        ("--keep-field", "X-Forwarded-For", "cannot be kept"),
        ("--keep-field", "accept", "is not dropped"),
        ("--forwarded-fields", "via", "x-forwarded-for"),
        ("--via", "a b", "expected 1 to 64 letters"),
        ("--max-hops", "0", "a whole number above zero"),
        ("--hop-header", "a b", "a header field name"),
        ("--hop-header", "via", "reserved by HTTP"),
        ("--policy", "best", "least-sessions, round-robin, random"),
        ("--on-lost", "retry", "fail, resume, repin"),
        ("--resume-timeout", "0s", "a duration above zero"),
        ("--connect-timeout", "none", "a duration above zero"),
        ("--response-timeout", "soon", "or none"),
        ("--allow-host", "https://a", "a host such as mcp.example.com"),
        ("--allow-host", "münchen.example", "begins with xn--"),
        ("--allow-origin", "a.example", "an origin such as https://app.example.com"),
        ("--allow-origin", "https://a/b", "without a path"),
        ("--allow-origin", "null", "an origin such as"),
        ("--allow-origin", "*", "an origin such as"),
        ("--request-id", "a b", "a header field name"),
        ("--request-id", "mcp-session-id", "has another purpose"),
        ("--sensitive-header", "a b", "a header field name"),
        ("--max-body", "10XB", "a number of bytes"),
        ("--max-body", "99999999999GB", "a number of bytes"),
        ("--max-body", "-1", "a number of bytes"),
        ("--log", "loud", "a level such as"),
        ("--log-format", "xml", "text, json"),
        ("--access-log", "", "a file, or -"),
    ] {
        let error = with_backend(&[&format!("{option}={value}")]).unwrap_err();
        assert!(error.contains(option), "{option} {value}: {error}");
        assert!(error.contains(expected), "{option} {value}: {error}");
    }
}

#[test]
fn clients_are_identified_by_choice_and_not_by_default() {
    assert_eq!(with_backend(&[]).unwrap().sessions.principal, Principal::None);
    for (text, expected) in [
        ("none", Principal::None),
        ("jwt", Principal::Jwt),
        ("authorization", Principal::Authorization),
        ("header:X-User", Principal::Header(HeaderName::from_static("x-user"))),
    ] {
        assert_eq!(with_backend(&["--principal", text]).unwrap().sessions.principal, expected);
    }
}

#[test]
fn what_is_about_browsers_is_off_or_a_list() {
    let web = with_backend(&[]).unwrap().web;
    assert!(web.allow_hosts.is_empty() && web.allow_origins.is_empty());
    assert!(web.request_id.is_none() && web.sensitive_headers.is_empty());
    assert!(!web.preserve_host && !web.catch_panics);
    let hosts = "--allow-host=a.example,[::1]:81";
    let web = with_backend(&[hosts, "--allow-host=b", "--allow-origin=https://a", "--request-id"]);
    let web = web.unwrap().web;
    assert_eq!((web.allow_hosts.len(), web.allow_origins.len()), (3, 1));
    assert_eq!(web.request_id.unwrap(), "x-request-id");
    let web = with_backend(&["--request-id", "X-Trace", "--sensitive-header=a,b"]).unwrap().web;
    assert_eq!((web.request_id.unwrap().as_str(), web.sensitive_headers.len()), ("x-trace", 2));
}

#[test]
fn endpoints_are_a_list_and_belong_to_mcp() {
    let options = with_backend(&["--endpoint=/a,/b/", "--endpoint=*"]).unwrap();
    assert_eq!(options.sessions.endpoints, ["/a", "/b/", "*"]);
    let error = with_backend(&["--session-header=x-s", "--endpoint=/a"]).unwrap_err();
    assert!(error.contains("--endpoint") && error.contains("--session-header"), "{error}");
    with_backend(&["--session-header=x-s"]).unwrap();
}

#[test]
fn proxies_are_trusted_by_address_or_by_number() {
    let options = with_backend(&["--trust=10.0.0.0/8,2001:db8::/32", "--trust=192.0.2.1"]).unwrap();
    assert_eq!((options.proxies.trust.len(), options.proxies.trust_count), (3, None));
    let error = with_backend(&["--trust=10.0.0.0/8", "--trust-count=1"]).unwrap_err();
    assert!(error.contains("--trust-count") && error.contains("--trust"), "{error}");
}

#[test]
fn a_store_may_be_shared_and_its_password_is_not_printed() {
    let url = "--store=redis-sentinel://:secret@a:1?sentinelServiceName=s";
    let options = with_backend(&[url, "--store-grace=0s", "--near-cache=off"]).unwrap();
    assert!(matches!(options.store.kind, Store::Redis(_)));
    assert_eq!((options.store.grace, options.store.near_cache), (Duration::ZERO, 0));
    assert!(!format!("{options:?}").contains("secret"));
}

#[test]
fn without_a_backend_only_the_demonstration_runs() {
    assert!(parse(&[]).unwrap_err().contains("--backend"));
    assert!(matches!(
        parse(&["demo", "--once", "--log=debug"]).unwrap().command,
        Some(Command::Demo { once: true })
    ));
}

#[test]
fn every_option_has_an_environment_variable_and_a_help() {
    for arg in Cli::command().get_arguments().filter(|arg| !arg.is_global_set()) {
        let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else {
            continue;
        };
        let variable = format!("BARTIZAN_{}", long.to_uppercase().replace('-', "_"));
        assert_eq!(arg.get_env().unwrap(), variable.as_str());
        assert!(arg.get_help().is_some(), "--{long}");
    }
}

#[test]
fn the_standard_options_are_the_defaults() {
    let backends = vec!["http://a:1".parse().unwrap()];
    let options = Options::standard(backends).unwrap();
    assert_eq!((options.listener.listen.port(), options.upstream.backends.len()), (0, 1));
    assert_eq!(options.sessions.idle, Duration::from_secs(7200));
}

/// The warnings for these options, or the error.
fn read(args: &[&str], variables: &[&str]) -> Result<Vec<String>, String> {
    let command = Cli::command().mut_args(|arg| arg.env(Resettable::Reset));
    let args = ["bartizan-gateway"].iter().chain(args).copied();
    let variables = variables.iter().map(|name| (*name).to_owned());
    let read = Cli::try_read(command, args, variables);
    read.map(|given| given.warnings).map_err(|error| error.to_string())
}

fn read_with_backend(args: &[&str]) -> Result<Vec<String>, String> {
    read(&[&["--backend=http://10.0.0.1:9001"], args].concat(), &[])
}

#[test]
fn options_that_cannot_be_had_together_are_refused_by_name() {
    for (args, named) in [
        (&["--record-keys=/keys"][..], &["--record-keys", "--on-lost resume"][..]),
        (&["--record-keys=/keys", "--on-lost=repin"], &["--record-keys"]),
        (&["--drain-delay=25s"], &["--drain-delay", "--shutdown-timeout"]),
        (&["--shutdown-timeout=3s"], &["--drain-delay", "--shutdown-timeout"]),
        (&["--client-ip-header=cf-connecting-ip"], &["--client-ip-header", "--trust"]),
        // The same server twice.
        (&["--backend=http://10.0.0.1:9001"], &["--backend http://10.0.0.1:9001 and"]),
        (&["--backend=h2c://10.0.0.1:9001"], &["h2c://10.0.0.1:9001"]),
        (
            &["--backend=http://LOCALHOST,http://localhost:80"],
            &["http://LOCALHOST", "http://localhost:80"],
        ),
        (&["--backend=https://a.example.,https://a.example:443"], &["https://a.example:443"]),
        (&["--backend=http://[::1],http://[0:0::1]"], &["the same server"]),
        // The gateway itself.
        (&["--backend=http://127.0.0.1:8080"], &["--backend http://127.0.0.1:8080", "--listen"]),
        (&["--backend=http://LocalHost:8080"], &["--backend", "--listen"]),
        (&["--backend=http://0.0.0.0:8080"], &["--listen"]),
        (&["--backend=http://127.0.0.9:80", "--listen=0.0.0.0:80"], &["--listen 0.0.0.0:80"]),
        (&["--backend=http://[::1]:80", "--listen=[::]:80"], &["--listen [::]:80"]),
        (&["--backend=http://127.0.0.1:9090", "--admin=127.0.0.1:9090"], &["--admin"]),
    ] {
        let error = read_with_backend(args).unwrap_err();
        assert!(named.iter().all(|name| error.contains(name)), "{args:?}: {error}");
    }
    for args in [
        &["--record-keys=/keys", "--on-lost=resume"][..],
        &["--drain-delay=0s", "--shutdown-timeout=1s"],
        &["--client-ip-header=cf-connecting-ip", "--trust-count=1"],
        &["--backend=http://10.0.0.1:9002,http://10.0.0.2:9001,https://10.0.0.1"],
        // Other servers: another port, another address of this host, the same port of another host, a free port.
        &["--backend=http://127.0.0.1:8081"],
        &["--backend=http://127.0.0.2:8080"],
        &["--backend=http://10.0.0.2:80", "--listen=0.0.0.0:80"],
        &["--backend=http://127.0.0.1:80", "--listen=127.0.0.1:0"],
    ] {
        assert_eq!(read_with_backend(args), Ok(vec![]), "{args:?}");
    }
}

#[test]
fn an_option_without_effect_is_warned_of_by_name() {
    for (args, named) in [
        (&["--near-cache=5"][..], "--near-cache"),
        (&["--store-grace=30s"], "--store-grace"),
        (&["--probe-timeout=2s"], "--probe-timeout"),
        (&["--resume-timeout=1s"], "--resume-timeout"),
    ] {
        let warnings = read_with_backend(args).unwrap();
        assert!(warnings.len() == 1 && warnings[0].starts_with(named), "{warnings:?}");
    }
    let redis = ["--store=redis://a", "--near-cache=5", "--store-grace=1s"];
    assert_eq!(read_with_backend(&redis), Ok(vec![]));
    let probed = ["--probe=/healthz", "--probe-timeout=2s"];
    assert_eq!(read_with_backend(&probed), Ok(vec![]));
}

#[test]
fn a_variable_that_names_no_option_is_warned_of_by_name_and_not_by_value() {
    let backend = "--backend=http://10.0.0.1:9001";
    for (variable, is_known) in [
        ("BARTIZAN_LISTEN", true),
        ("BARTIZAN_LOG", true),
        ("BARTIZAN_LISTNE", false),
        ("BARTIZAN_STORE_PASSWD", false),
        ("BARTIZAN_BACKENDS", false),
        ("BARTIZAN_HELP", false),
        ("PATH", true),
        // Kubernetes sets these for a service that is called bartizan.
        ("BARTIZAN_SERVICE_HOST", true),
        ("BARTIZAN_SERVICE_PORT_HTTP", true),
        ("BARTIZAN_PORT", true),
        ("BARTIZAN_PORT_8080_TCP_ADDR", true),
    ] {
        let warnings = read(&[backend], &[variable]).unwrap();
        let expected =
            format!("{variable} in the environment does not match an option, and has no effect");
        let expected = if is_known { vec![] } else { vec![expected] };
        assert_eq!(warnings, expected);
    }
    let password = [STORE_PASSWORD];
    assert_eq!(read(&[backend, "--store=redis://a"], &password), Ok(vec![]));
    assert!(read(&[backend], &password).unwrap()[0].contains("--store memory"));
}

#[test]
fn a_demonstration_takes_no_option_of_the_gateway() {
    for option in ["--listen=127.0.0.1:1", "--near-cache=5", "--backend=http://a", "--mint-ids"] {
        for command in ["demo", "counter"] {
            let error = read(&[option, command], &[]).unwrap_err();
            let name = option.split('=').next().unwrap();
            assert!(error.contains(&format!("{name} cannot be used with {command}")), "{error}");
        }
    }
    assert_eq!(read(&["--log=debug", "demo", "--once"], &[]), Ok(vec![]));
    // Other commands may run in the environment of a configured gateway.
    let variables = ["BARTIZAN_LISTEN", "BARTIZAN_BACKEND"];
    for args in [["health", "--admin=127.0.0.1:9"], ["completions", "bash"], ["--log=info", "man"]]
    {
        assert_eq!(read(&args, &variables), Ok(vec![]));
    }
    let chosen = Chosen { variables: ["BARTIZAN_IDLE".to_owned()].into(), ..Chosen::default() };
    assert_eq!(
        checks::without_gateway(&chosen, "demo"),
        Ok(vec!["BARTIZAN_IDLE has no effect on demo".to_owned()])
    );
}

#[test]
fn the_log_option_is_known_from_its_default() {
    let chooses = |args: &[&str]| {
        let command = Cli::command().mut_args(|arg| arg.env(Resettable::Reset));
        let args = [&["bartizan-gateway", "--backend=http://10.0.0.1:9001"], args].concat();
        Cli::try_read(command, args, []).unwrap().chooses_log
    };
    assert!(!chooses(&[]) && chooses(&["--log=info"]) && chooses(&["--log=debug"]));
}
