//! An address at which connections hang.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

/// A listener whose backlog is full: new connections wait, neither accepted nor refused.
#[derive(Debug)]
pub struct Silent {
    pub addr: SocketAddr,
    _listener: TcpListener,
    _backlog: Vec<TcpStream>,
}

impl Silent {
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut backlog = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(addr)).await {
            backlog.push(stream.unwrap());
        }
        Self { addr, _listener: listener, _backlog: backlog }
    }
}
