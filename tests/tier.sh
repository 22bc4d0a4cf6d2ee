# Shared by the scripts of the tiers, which source it from the root of the repository.

# Ends the script as skipped, and says why.
skip() {
    echo "skipped: $1"
    exit 77
}

needs() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

# Runs an installer. Without a network, some of them try again for half an hour.
install() {
    timeout 300 "$@"
}

# The directory that cargo builds into, wherever it is configured.
target=$(cargo metadata --locked --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

# Builds the gateway, as $gateway.
build_gateway() {
    cargo build --quiet --locked --package bartizan-gateway
    gateway=$target/debug/bartizan-gateway
}
