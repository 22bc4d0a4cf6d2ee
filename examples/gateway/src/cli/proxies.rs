//! Proxies in front of the gateway and behind it.

use std::{num::NonZeroU8, num::NonZeroU32};

use bartizan::{
    core::ProxyName, forwarded::ClientIpHeader, forwarded::KeptField, forwarded::Network,
    hops::HopHeader,
};
use clap::{Args, ValueEnum};

use super::values;

/// Proxies in front of the gateway and behind it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Other proxies")]
pub(crate) struct ProxyOptions {
    /// Trust forwarding headers from proxies in this network, such as 10.0.0.0/8, or at this address.
    /// Repeat the option, or separate with commas. By default no proxy is trusted
    #[arg(
        long,
        env = "BARTIZAN_TRUST",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = values::network
    )]
    pub(crate) trust: Vec<Network>,

    /// Number of trusted proxies in front of the gateway, at any address. Clients must not be able to
    /// reach the gateway directly
    #[arg(
        long,
        env = "BARTIZAN_TRUST_COUNT",
        value_name = "N",
        conflicts_with = "trust",
        value_parser = values::proxies
    )]
    pub(crate) trust_count: Option<NonZeroU8>,

    /// What to send to backends about the client. Forwarding headers from untrusted peers are dropped in
    /// any case
    #[arg(long, env = "BARTIZAN_FORWARDED", value_name = "CHOICE", default_value = "append")]
    pub(crate) forwarded: Forwarded,

    /// Which forwarding headers to write
    #[arg(
        long,
        env = "BARTIZAN_FORWARDED_FIELDS",
        value_name = "FIELDS",
        value_delimiter = ',',
        default_value = "x-forwarded-for,x-forwarded-proto,x-forwarded-host"
    )]
    pub(crate) forwarded_fields: Vec<ForwardedField>,

    /// Read the client's address from this header of a trusted proxy, such as CF-Connecting-IP, instead of
    /// the chain in X-Forwarded-For. The proxy must always set or remove it; from other peers it is dropped
    #[arg(
        long,
        env = "BARTIZAN_CLIENT_IP_HEADER",
        value_name = "NAME",
        value_parser = values::client_ip_header
    )]
    pub(crate) client_ip_header: Option<ClientIpHeader>,

    /// Let this header pass from any peer although it is dropped by default, such as X-Host; repeat the
    /// option or separate with commas
    #[arg(
        long = "keep-field",
        env = "BARTIZAN_KEEP_FIELD",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = values::kept_field
    )]
    pub(crate) kept_fields: Vec<KeptField>,

    /// Name of this gateway in Via, by which it detects loops. Give all replicas of one gateway the same
    /// name. By default bartizan- and eight random digits for each process
    #[arg(long, env = "BARTIZAN_VIA", value_name = "NAME", value_parser = values::proxy_name)]
    pub(crate) via: Option<ProxyName>,

    /// Maximum number of gateways that a request may cross, this one included; one that crosses more is
    /// refused with 508
    #[arg(
        long,
        env = "BARTIZAN_MAX_HOPS",
        value_name = "N",
        default_value = "10",
        value_parser = values::hops
    )]
    pub(crate) max_hops: NonZeroU32,

    /// Header field with the hop count; all gateways that may forward to each other need the same
    #[arg(
        long,
        env = "BARTIZAN_HOP_HEADER",
        value_name = "NAME",
        default_value = "x-hop-count",
        value_parser = values::hop_header
    )]
    pub(crate) hop_header: HopHeader,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Forwarded {
    /// The chain of trusted proxies, with the peer appended
    Append,
    /// Only the client
    Replace,
    /// Nothing
    Off,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ForwardedField {
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    XRealIp,
    Forwarded,
}
