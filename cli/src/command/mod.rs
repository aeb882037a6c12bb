//! The commands, one file each.

mod audit;
mod backup;
mod cert;
mod cluster;
mod compare;
mod completion;
mod config;
mod connection;
mod dev;
mod key;
mod login;
mod policy;
mod realm;
mod resolver;
mod server;
mod session_file;
mod token;
mod user;

use clap::{Parser, Subcommand};

use crate::exit;

/// Tessera, a one-time-password authentication cluster.
#[derive(Debug, Parser)]
#[command(name = "tessera", version, after_help = exit::HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: connection::Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a node of a cluster.
    Server(server::Server),
    /// Runs a whole cluster on this machine, with demo users, for development and trying things out.
    Dev(dev::Dev),
    /// Makes the certificates with which the nodes of a cluster know each other.
    #[command(subcommand)]
    Cert(cert::Cert),
    /// Makes the cluster key file, and replaces the cluster key.
    #[command(subcommand)]
    Key(key::Key),
    /// Takes, checks and restores backups.
    #[command(subcommand)]
    Backup(backup::Backup),
    /// Logs in and keeps the session for later commands.
    Login(login::Login),
    /// Ends the kept session.
    Logout(login::Logout),
    /// Makes a cluster, adds, replaces and removes its nodes, and shows how they are.
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Checks the audit trail.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Enrols, lists and changes tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Lists and changes realms.
    #[command(subcommand)]
    Realm(realm::Realm),
    /// Lists, changes and tries policies: what applies to whom.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Lists and changes resolvers: where users come from.
    #[command(subcommand)]
    Resolver(resolver::Resolver),
    /// Lists users.
    #[command(subcommand)]
    User(user::User),
    /// Reads and changes the system configuration.
    #[command(subcommand)]
    Config(config::Config),
    /// Prints a completion script for a shell.
    Completion(completion::Completion),
}

/// Runs a command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { command, connection } = cli;
    match command {
        Command::Server(server) => server.run(),
        Command::Dev(dev) => dev.run(),
        Command::Cert(cert) => cert.run(connection.ca),
        Command::Key(key) => key.run(connection),
        Command::Backup(backup) => backup.run(connection),
        Command::Completion(completion) => {
            completion.run();
            Ok(())
        }
        Command::Login(login) => connection::block_on(login.run(connection)),
        Command::Logout(logout) => connection::block_on(logout.run(connection)),
        Command::Cluster(cluster) => connection::block_on(cluster.run(connection)),
        Command::Audit(audit) => connection::block_on(audit.run(connection)),
        Command::Token(token) => connection::block_on(token.run(connection)),
        Command::Realm(realm) => connection::block_on(realm.run(connection)),
        Command::Policy(policy) => connection::block_on(policy.run(connection)),
        Command::Resolver(resolver) => connection::block_on(resolver.run(connection)),
        Command::User(user) => connection::block_on(user.run(connection)),
        Command::Config(config) => connection::block_on(config.run(connection)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no description");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{name}: {} has no help", argument.get_id());
            }
            for inner in command.get_subcommands() {
                check(inner);
            }
        }
        check(&Cli::command());
    }

    #[track_caller]
    fn accepted(line: &str) {
        if let Err(error) = Cli::try_parse_from(line.split(' ')) {
            panic!("{line}: {error}");
        }
    }

    #[test]
    fn documented_command_lines_are_understood() {
        for line in [
            "tessera server --config node.toml --check-config",
            "tessera dev --nodes 3 --data-dir /tmp/x --http-port 7480 --cluster-port 7580 --admin-password p --no-demo",
            "tessera cluster status --url http://a --url http://b --json",
            "tessera --url http://a,http://b cluster status",
            "tessera cluster init --config node.toml",
            "tessera cluster token --lifetime 600",
            "tessera cluster join --config node.toml --token 4-abc --peer otp1:7580 --peer otp2:7580 --wait 0",
            "tessera cluster remove 3 --wait 10",
            "tessera cluster replace 3 --no-wait",
            "tessera cluster transfer-leadership",
            "tessera cluster transfer-leadership 2",
            "tessera cluster snapshot 2",
            "tessera cluster leave --url http://a",
            "tessera cluster compare --json",
            "tessera audit verify --url http://a --json",
            "tessera token init --type hmac --owner alice --realm demo --genkey --pin 1234",
            "tessera token list --owner alice --json --user admin --password geheim",
            "tessera token disable OATH1",
            "tessera token remove --owner alice",
            "tessera token assign OATH1 alice",
            "tessera token resync OATH1 123456 654321",
            "tessera token set-pin OATH1 1234",
            "tessera token check --owner alice --realm demo 1234755224",
            "tessera realm set demo --resolver files",
            "tessera realm default --clear",
            "tessera resolver add-passwd files /etc/tessera/users",
            "tessera policy list --scope authentication --all",
            "tessera policy set pin_vpn --scope authentication --action otppin=1 --realm demo --client 10.0.0.0/8",
            "tessera policy show pin_vpn",
            "tessera policy delete pin_vpn other --enforce",
            "tessera policy export --all policy.cfg",
            "tessera policy import policy.cfg",
            "tessera policy explain otppin --scope authentication --owner alice",
            "tessera policy check otppin --scope authentication --owner alice --realm demo --client 10.0.0.1",
            "tessera user list --realm demo",
            "tessera config set DefaultMaxFailCount 5",
            "tessera login --user admin --password geheim",
            "tessera cert ca --cluster-id 7c9e6679-7425-40de-944b-e07fc1f90ae7 --out ca.pem --key-out ca-key.pem",
            "tessera key new cluster.key",
            "tessera key remove cluster.key 1",
            "tessera key rotate --to 2 --url http://a --json",
            "tessera key status",
            "tessera backup new-key backup.key",
            "tessera backup create x.backup --backup-key backup.key --include-cluster-key cluster.key",
            "tessera backup verify x.backup --passphrase-file - --cluster-key cluster.key --json",
            "tessera backup restore x.backup --backup-key backup.key --config node.toml --advance-counters 5",
            "tessera completion bash",
        ] {
            accepted(line);
        }
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        for line in [
            "tessera",
            "tessera serve",
            "tessera server",
            "tessera token disable",
            "tessera token resync OATH1 123456",
            "tessera dev --nodes 0",
            "tessera cluster remove",
            "tessera cluster replace three",
            "tessera cluster join --config node.toml",
            "tessera dev --nodes many",
            "tessera realm set demo",
            "tessera policy set pin_vpn --scope authentication",
            "tessera policy delete",
            "tessera backup create x.backup",
            "tessera backup verify x.backup --backup-key a --passphrase-file b",
            "tessera backup create x.backup --passphrase-file a --include-cluster-key cluster.key",
            "tessera backup restore x.backup --backup-key a",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
