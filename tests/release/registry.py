"""A registry on disk: our crates as `cargo package` made them, and the others as Cargo.lock has them."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import tarfile


def cargo_metadata(*options):
    command = ["cargo", "metadata", "--format-version=1", *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def build(registry, packed, unpacked):
    """Fills the folder `registry` with the archives in `packed`, and with all that the workspace uses on this machine."""
    host = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    host = next(line.split()[1] for line in host.splitlines() if line.startswith("host:"))
    graph = cargo_metadata("--locked", "--all-features", f"--filter-platform={host}")
    others = [p for p in graph["packages"] if p["source"]]
    available = {p["name"] for p in others}
    for package in others:
        # …/registry/src/SOURCE/NAME-VERSION/Cargo.toml came from …/registry/cache/SOURCE/NAME-VERSION.crate.
        folder = pathlib.Path(package["manifest_path"]).parent
        archive = folder.parents[2] / "cache" / folder.parent.name / f"{folder.name}.crate"
        add(registry, package, archive, available)
    ours = sorted(packed.glob("*.crate"))
    available |= {archive.name.rsplit("-", 1)[0] for archive in ours}
    for archive in ours:
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, filter="data")
        # The packed manifest counts, not that of the workspace.
        manifest = unpacked / archive.name.removesuffix(".crate") / "Cargo.toml"
        (package,) = cargo_metadata("--no-deps", f"--manifest-path={manifest}")["packages"]
        add(registry, package, archive, available)
    return [archive.name for archive in ours]


def add(registry, package, archive, available):
    """Adds one version of a crate."""
    name = package["name"]
    shutil.copyfile(archive, registry / archive.name)
    needed = [d for d in package["dependencies"] if is_needed(d, available)]
    dropped = {d["rename"] or d["name"] for d in package["dependencies"] if d not in needed}
    features = {
        feature: [value for value in values if named(value) not in dropped]
        for feature, values in package["features"].items()
    }
    entry = {
        "name": name,
        "vers": package["version"],
        "deps": [dependency(d) for d in needed],
        "cksum": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "features": features,
        "links": package["links"],
        "yanked": False,
        "v": 2,
    }
    lower = name.lower()
    folder = {1: "1", 2: "2", 3: f"3/{lower[0]}"}.get(len(name), f"{lower[:2]}/{lower[2:4]}")
    path = registry / "index" / folder / lower
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as index:
        index.write(json.dumps(entry) + "\n")


def is_needed(d, available):
    """What other platforms and other features need is not here, and not looked for if nothing names it."""
    return d["kind"] == "dev" or d["name"] in available


def named(value):
    """The dependency or feature that a value of a feature names: `dep:NAME`, `NAME/FEATURE`, `NAME?/FEATURE`."""
    return value.removeprefix("dep:").split("/")[0].rstrip("?")


def dependency(d):
    entry = {
        "name": d["rename"] or d["name"],
        "req": d["req"],
        "features": d["features"],
        "optional": d["optional"],
        "default_features": d["uses_default_features"],
        "target": d["target"],
        "kind": d["kind"] or "normal",
    }
    if d["rename"]:
        entry["package"] = d["name"]
    return entry
