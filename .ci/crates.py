"""The crates that are published, each after those that it needs."""

import json
import subprocess


def metadata(*options):
    command = ["cargo", "metadata", "--format-version=1", "--locked", *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def publishable():
    """Packages of the workspace that may be published, in the order in which they can be."""
    packages = {p["name"]: p for p in metadata("--no-deps")["packages"] if p["publish"] != []}
    order = []

    def visit(name):
        if packages[name] in order:
            return
        for dependency in packages[name]["dependencies"]:
            # Publishing strips what is tested with, if it is named by its path alone.
            stripped = dependency["kind"] == "dev" and dependency["req"] == "*"
            if dependency["name"] in packages and not stripped:
                visit(dependency["name"])
        order.append(packages[name])

    for name in sorted(packages):
        visit(name)
    return order
