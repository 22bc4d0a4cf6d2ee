//! The program in the README, with only the dependencies that the README names.
#![allow(missing_docs, reason = "it stands in the README as it is")]

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use bartizan::{ReverseProxyStack, memory::MemoryStore, peer, pin::Backends, upstream::Upstream};
use tower::Layer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backends = Backends::new(["http://tools-1:9001".parse()?, "http://tools-2:9001".parse()?]);
    let stack = ReverseProxyStack::mcp(MemoryStore::new(), backends)
        .forwarded(|layer| layer.peer_from(peer::of_axum));
    let shutdown = stack.shutdown();
    let app = Router::new().route_service("/mcp", stack.layer(Upstream::builder().build()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            shutdown.shut_down(Duration::from_secs(20)).await; // ends open event streams
        })
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    const README: &str = include_str!("../../../README.md");

    #[test]
    fn the_readme_shows_this_program() {
        let (_, program) = include_str!("main.rs").split_once("\n\n").unwrap();
        let (program, _) = program.split_once("\n#[cfg(test)]").unwrap();
        assert!(README.contains(program), "copy the program from the README to main.rs");
    }

    /// If you add a feature here, also add it to the command in the README.
    #[test]
    fn the_readme_adds_these_features() {
        let manifest = include_str!("../Cargo.toml");
        let add =
            README.lines().find_map(|line| line.strip_prefix("cargo add bartizan --features "));
        let features: Vec<_> = add.unwrap().split(',').map(|name| format!("{name:?}")).collect();
        let expected = format!("features = [{}] }}", features.join(", "));
        let dependency = manifest.lines().find(|line| line.starts_with("bartizan = ")).unwrap();
        assert!(dependency.ends_with(&expected), "{dependency} is not {expected}");
    }
}
