//! Connections with a deadline.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bartizan_core::failure::FailureKind;
use http::Uri;
use tokio::time::timeout;
use tower_service::Service;

/// Connects with `C` within a deadline that includes the TLS handshake.
#[derive(Clone, Debug)]
pub(super) struct Connector<C> {
    inner: C,
    deadline: Duration,
}

/// A failure to connect, with its kind.
#[derive(Debug)]
pub(super) struct ConnectError {
    kind: FailureKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl<C> Connector<C> {
    pub(super) const fn new(inner: C, deadline: Duration) -> Self {
        Self { inner, deadline }
    }
}

impl ConnectError {
    /// The kind of the failure to connect that caused `error`, if one did.
    pub(super) fn find(error: &(dyn Error + 'static)) -> Option<FailureKind> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(failed) = error.downcast_ref::<Self>() {
                return Some(failed.kind);
            }
            next = error.source();
        }
        None
    }

    pub(super) const fn kind(&self) -> FailureKind {
        self.kind
    }

    pub(super) fn new(source: Box<dyn Error + Send + Sync>) -> Self {
        Self { kind: kind_of(&*source), source: Some(source) }
    }

    /// The failure of a lookup.
    pub(super) fn of_look_up(error: &io::Error) -> FailureKind {
        match kind_of_io(error) {
            Some(FailureKind::ConnectionLimit) => FailureKind::ConnectionLimit,
            _ => FailureKind::Dns,
        }
    }
}

impl From<FailureKind> for ConnectError {
    fn from(kind: FailureKind) -> Self {
        Self { kind, source: None }
    }
}

fn kind_of(error: &(dyn Error + 'static)) -> FailureKind {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(failed) = error.downcast_ref::<ConnectError>() {
            return failed.kind;
        }
        #[cfg(feature = "tls")]
        if error.is::<rustls::Error>() {
            return FailureKind::Tls;
        }
        let io = error.downcast_ref::<io::Error>();
        if let Some(kind) = io.and_then(kind_of_io) {
            return kind;
        }
        // `io::Error::source` skips the error that it wraps.
        next = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    FailureKind::NoRoute
}

/// What a socket error shows about the backend, if it is clear.
fn kind_of_io(error: &io::Error) -> Option<FailureKind> {
    if error.raw_os_error().is_some_and(is_out_of_resources) {
        return Some(FailureKind::ConnectionLimit);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(FailureKind::Refused),
        io::ErrorKind::TimedOut => Some(FailureKind::ConnectTimeout),
        _ => None,
    }
}

/// Whether this process, or its host, has no descriptor, port or memory left. The backend is not the cause, so it must
/// not be taken for gone.
fn is_out_of_resources(code: i32) -> bool {
    let codes: &[i32] = if cfg!(windows) {
        // WSAEMFILE, WSAENOBUFS, WSAEADDRNOTAVAIL.
        &[10024, 10055, 10049]
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        // EMFILE, ENFILE, EAGAIN and EADDRNOTAVAIL (no source port), ENOBUFS, ENOMEM.
        &[24, 23, 11, 99, 105, 12]
    } else {
        // The same for the BSDs and macOS.
        &[24, 23, 35, 49, 55, 12]
    };
    codes.contains(&code)
}

impl<C> Service<Uri> for Connector<C>
where
    C: Service<Uri>,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.inner.poll_ready(cx).map_err(|error| ConnectError::new(error.into()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(self.deadline, self.inner.call(uri));
        // Boxed: once for a connection, which many requests share.
        Box::pin(async move {
            match connecting.await {
                Ok(Ok(io)) => Ok(io),
                Ok(Err(error)) => Err(ConnectError::new(error.into())),
                Err(_) => Err(ConnectError { kind: FailureKind::ConnectTimeout, source: None }),
            }
        })
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection to the backend")
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn only_a_refusal_is_the_backends() {
        #[derive(Debug)]
        struct Wrapped(&'static str, io::Error);
        impl fmt::Display for Wrapped {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Error for Wrapped {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.1)
            }
        }
        for (text, code, kind) in [
            ("tcp open error", 24, FailureKind::ConnectionLimit), // EMFILE
            ("tcp open error", 23, FailureKind::ConnectionLimit), // ENFILE
            ("tcp connect error", 99, FailureKind::ConnectionLimit), // EADDRNOTAVAIL
            ("tcp connect error", 105, FailureKind::ConnectionLimit), // ENOBUFS
            ("tcp open error", 12, FailureKind::ConnectionLimit), // ENOMEM
            ("tcp connect error", 111, FailureKind::Refused),     // ECONNREFUSED
            ("tcp connect error", 110, FailureKind::ConnectTimeout), // ETIMEDOUT
            ("tcp connect error", 101, FailureKind::NoRoute),     // ENETUNREACH
            ("tcp connect error", 113, FailureKind::NoRoute),     // EHOSTUNREACH
            ("tcp connect error", 13, FailureKind::NoRoute),      // EACCES
            ("tcp connect error", 1, FailureKind::NoRoute),       // EPERM
            ("tcp open error", 97, FailureKind::NoRoute),         // EAFNOSUPPORT
        ] {
            let error = Wrapped(text, io::Error::from_raw_os_error(code));
            assert_eq!(kind_of(&error), kind, "{text} {code}");
        }
        for (code, kind) in [(24, FailureKind::ConnectionLimit), (111, FailureKind::Dns)] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(ConnectError::of_look_up(&error), kind, "{code}");
        }
    }
}
