//! Pingora, keeping sessions: its proxy service, and a table.

use async_trait::async_trait;
use bartizan_peers::{SESSION, Sessions, addresses};
use pingora::{
    Result,
    http::ResponseHeader,
    proxy::{ProxyHttp, Session, http_proxy_service},
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};

/// Sends each request to the backend of its session.
struct Sticky(Sessions<HttpPeer>);

#[async_trait]
impl ProxyHttp for Sticky {
    /// The number of the backend.
    type CTX = usize;

    fn new_ctx(&self) -> usize {
        0
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut usize) -> Result<Box<HttpPeer>> {
        let id = session.req_header().headers.get(SESSION);
        *ctx = self.0.choose(id.map(|id| id.as_bytes()));
        Ok(Box::new(self.0.backend(*ctx).clone()))
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut usize,
    ) -> Result<()> {
        self.0.learn(response.headers.get(SESSION).map(|id| id.as_bytes()), *ctx);
        Ok(())
    }
}

fn main() {
    let (listen, backends) = addresses();
    let peer = |address: &String| HttpPeer::new(address.as_str(), false, String::new());
    let sticky = Sticky(Sessions::new(backends.iter().map(peer).collect()));
    // One thread, as all peers have, and room for the connections of the largest case.
    let conf =
        ServerConf { threads: 1, upstream_keepalive_pool_size: 1_024, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, sticky);
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
