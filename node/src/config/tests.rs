use super::*;

const EXAMPLE: &str = include_str!("../../../deploy/node.example.toml");

const MINIMAL: &str = r#"
[node]
id = 1
data_dir = "data"

[cluster]
id = "0f8b6d5e-3c1a-4b7e-9a51-7d6d2f2c1b10"
advertise = "otp1.example.com:7580"
key_file = "cluster.key"
ca_file = "ca.pem"
certificate_file = "node.pem"
private_key_file = "node-key.pem"

[http]
plain = true
"#;

#[track_caller]
fn parse(text: &str, environment: &[(&str, &str)]) -> Result<NodeConfig, Vec<String>> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    NodeConfig::parse(text, Path::new("/etc/tessera"), environment)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The example with every key that is only shown switched on.
fn whole_example() -> String {
    let uncommented = |line: &str| {
        let shown = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
        format!("{}\n", shown.unwrap_or(line))
    };
    EXAMPLE.lines().map(uncommented).collect()
}

#[test]
fn defaults_complete_a_minimal_file() {
    let config = parse(MINIMAL, &[]).unwrap();
    assert_eq!(config.node.data_dir, Path::new("/etc/tessera/data"));
    assert_eq!(config.cluster.tls.ca, Path::new("/etc/tessera/ca.pem"));
    assert_eq!(config.cluster.listen, "0.0.0.0:7580".parse().unwrap());
    assert_eq!(config.cluster.commit_timeout, Duration::from_secs(5));
    assert_eq!(config.http.url, "http://otp1.example.com:7480");
    assert_eq!(
        config.session,
        SessionSection { lifetime_seconds: 1800, refresh_seconds: 300, cookie_secure: true }
    );
    assert!(!config.cluster.bootstrap && config.admin.first.is_none() && !config.node.name.is_empty());
    let alone = MemberConfig {
        id: 1,
        cluster: "otp1.example.com:7580".to_owned(),
        http: "http://otp1.example.com:7480".to_owned(),
    };
    assert_eq!(config.members, [alone]);
}

#[test]
fn all_problems_are_reported_at_once_with_their_lines() {
    let text = "[node]\nid = 0\nname = \"\"\ndata-dir = \"x\"\n\n[http]\nlisten = \"7480\"\nplain = \"yes\"\n\
                lisen = \"0.0.0.0:1\"\ntrusted_proxies = [\"10.0.0.0/40\"]\n\n[sesion]\nlifetime_seconds = 5\n";
    let problems = parse(text, &[]).unwrap_err();
    for expected in [
        "line 2: node.id: must be at least 1",
        "line 3: node.name: expected a text that is not empty",
        "line 4: node.data-dir: unknown key",
        "line 7: http.listen: expected an IP address and a port",
        "line 8: http.plain: expected true or false",
        "line 9: http.lisen: unknown key",
        "line 10: http.trusted_proxies: expected addresses and networks",
        "line 13: sesion.lifetime_seconds: unknown key",
        "node.data_dir: is missing",
        "cluster.id: is missing",
        "cluster.advertise: is missing",
        "cluster.key_file: is missing",
        "cluster.ca_file: is missing",
        "cluster.certificate_file: is missing",
        "cluster.private_key_file: is missing",
    ] {
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected}\n{problems:#?}");
    }
}

#[test]
fn the_environment_goes_before_the_file() {
    let environment = [
        ("TESSERA_NODE_ID", "7"),
        ("TESSERA_HTTP_LISTEN", "127.0.0.1:1234"),
        ("TESSERA_HTTP_PLAIN", "true"),
        ("TESSERA_HTTP_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8"),
        ("TESSERA_CLUSTER_BOOTSTRAP", "true"),
        ("TESSERA_CLUSTER_COMMIT_TIMEOUT_MS", "750"),
        ("TESSERA_ADMIN_USER", "root"),
        ("TESSERA_ADMIN_PASSWORD", "geheim"),
        ("TESSERA_MEMBERS", "[{id = 7, cluster = \"otp1.example.com:7580\", http = \"http://otp1:7480\"}]"),
        // A container platform sets such variables by itself.
        ("TESSERA_PORT_7480_TCP", "tcp://10.0.0.1:7480"),
        ("TESSERA_URL", "http://127.0.0.1"),
    ];
    let config = parse(MINIMAL, &environment).unwrap();
    assert_eq!(config.node.id, 7);
    assert_eq!(config.http.listen, "127.0.0.1:1234".parse().unwrap());
    assert_eq!(config.http.trusted_proxies, ["127.0.0.1", "10.0.0.0/8"]);
    assert!(config.cluster.bootstrap);
    assert_eq!(config.cluster.commit_timeout, Duration::from_millis(750));
    assert_eq!(config.admin.first, Some(("root".to_owned(), "geheim".into())));
    assert_eq!(config.members.len(), 1);
}

#[test]
fn problems_in_the_environment_name_the_variable() {
    let problems =
        parse(MINIMAL, &[("TESSERA_NODE_ID", "one"), ("TESSERA_MEMBERS", "[{id = 1}]")]).unwrap_err();
    for expected in [
        "environment variable TESSERA_NODE_ID: node.id: expected a number",
        "environment variable TESSERA_MEMBERS: members[0].cluster: is missing",
        "environment variable TESSERA_MEMBERS: members[0].http: is missing",
    ] {
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected}\n{problems:#?}");
    }
}

#[test]
fn no_value_ever_appears_in_a_problem_or_in_debug_output() {
    let secret = "Tr0mbone";
    let texts = [
        format!("{MINIMAL}\n[admin]\nuser = \"a\"\npassword = {secret}\n"),
        format!("{MINIMAL}\n[admin]\nuser = \"a\"\npassword = \"{secret}\n"),
        format!("{MINIMAL}\n[admin]\nuser = \"a\"\npassword = [\"{secret}\"]\n"),
        format!("{MINIMAL}\n[admin]\nuser = \"a\"\npasswort = \"{secret}\"\n"),
        format!("{MINIMAL}\n[admin]\npassword = \"{secret}\"\npassword = \"{secret}\"\n"),
        format!("{MINIMAL}\n[log]\nlevel = \"{secret}\"\nformat = \"{secret}\"\n"),
        format!("[cluster]\nid = \"{secret}\"\ntiming = \"{secret}\"\nadvertise = \"{secret}\"\n"),
    ];
    for text in texts {
        let problems = parse(&text, &[]).unwrap_err();
        assert!(!problems.is_empty());
        assert!(!format!("{problems:?}").contains(secret), "{problems:?}");
    }
    let config = parse(MINIMAL, &[("TESSERA_ADMIN_PASSWORD", secret)]).unwrap();
    assert_eq!(config.admin.first, Some(("admin".to_owned(), secret.into())));
    assert!(!format!("{config:?}").contains(secret));
}

#[test]
fn a_syntax_error_is_reported_by_its_line() {
    let problems = parse("[node]\nid = 1\nname = otp1\n", &[]).unwrap_err();
    assert_eq!(problems.first().map(String::as_str), Some("line 3: not valid TOML"), "{problems:?}");
}

#[test]
fn members_must_contain_the_node_and_be_distinct() {
    let member = |id: u64, host: &str| {
        format!("[[members]]\nid = {id}\ncluster = \"{host}:7580\"\nhttp = \"http://{host}:7480\"\n")
    };
    let three = [member(1, "otp1.example.com"), member(2, "otp2"), member(3, "otp3")].concat();
    assert_eq!(parse(&format!("{MINIMAL}{three}"), &[]).unwrap().members.len(), 3);
    let cases = [
        ([member(2, "otp2"), member(3, "otp3")].concat(), "is not among them"),
        ([member(1, "otp9"), member(2, "otp2")].concat(), "differs from cluster.advertise"),
        ([three.clone(), member(3, "otp4")].concat(), "occurs twice"),
        ([three.clone(), member(4, "otp2")].concat(), "occurs twice"),
        ([three, "[[members]]\nid = 4\nweight = 1\n".to_owned()].concat(), "members[3].weight: unknown key"),
    ];
    for (members, expected) in cases {
        let problems = parse(&format!("{MINIMAL}{members}"), &[]).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}\n{problems:#?}");
    }
}

#[test]
fn a_node_may_be_told_where_to_join_and_with_what() {
    let join =
        [("TESSERA_CLUSTER_JOIN", "otp1:7580, [2001:db8::1]:7580"), ("TESSERA_CLUSTER_JOIN_TOKEN", "4-abc")];
    let config = parse(MINIMAL, &join).unwrap();
    assert_eq!(config.cluster.join, ["otp1:7580", "[2001:db8::1]:7580"]);
    assert_eq!(config.cluster.join_token, Some(JoinToken::Text("4-abc".into())));
    assert!(!format!("{config:?}").contains("4-abc"));
    let file = ("TESSERA_CLUSTER_JOIN_TOKEN_FILE", "gone");
    let config = parse(MINIMAL, &[file]).unwrap();
    assert_eq!(config.cluster.join_token, Some(JoinToken::File("/etc/tessera/gone".into())));
    let problems = parse(MINIMAL, &[join[1], file]).unwrap_err();
    assert!(problems.iter().any(|problem| problem.contains("join_token is given as well")), "{problems:?}");
    let problems = parse(MINIMAL, &[("TESSERA_CLUSTER_JOIN", "otp1")]).unwrap_err();
    assert!(problems.iter().any(|problem| problem.contains("cluster.join: expected a list of host names")));
}

#[test]
fn https_needs_both_files_and_plain_http_must_be_wanted() {
    let quiet = MINIMAL.replace("plain = true", "");
    let cases = [
        (quiet.clone(), "http.certificate_file: is missing"),
        (format!("{quiet}certificate_file = \"a.pem\"\n"), "http.private_key_file is missing"),
        (format!("{quiet}private_key_file = \"a.pem\"\n"), "http.certificate_file is missing"),
    ];
    for (text, expected) in cases {
        let problems = parse(&text, &[]).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}\n{problems:#?}");
    }
    let both = format!("{quiet}certificate_file = \"a.pem\"\nprivate_key_file = \"b.pem\"\n");
    assert_eq!(parse(&both, &[]).unwrap().http.url, "https://otp1.example.com:7480");
}

#[test]
fn an_address_nobody_can_connect_to_is_refused() {
    for advertise in
        ["0.0.0.0:7580", "[::]:7580", "otp1", "otp1:0", "otp1:70000", ":7580", "a b:1", "::1:7580"]
    {
        let problems = parse(&MINIMAL.replace("otp1.example.com:7580", advertise), &[]).unwrap_err();
        assert!(
            problems.iter().any(|problem| problem.contains("cluster.advertise")),
            "{advertise}: {problems:?}"
        );
    }
    for advertise in ["10.0.0.1:7580", "[2001:db8::1]:7580", "otp-1:7580"] {
        parse(&MINIMAL.replace("otp1.example.com:7580", advertise), &[]).unwrap();
    }
}

#[test]
fn the_example_documents_every_key_and_no_other() {
    let text = whole_example();
    let mut reader = Reader::new(&text, Path::new("/etc/tessera"));
    assert_eq!(reader.problems, []);
    for (key, _) in KEYS {
        assert!(reader.take_raw(key).is_some(), "{key} is not in deploy/node.example.toml");
        let variable = environment_name(key);
        assert!(variable.starts_with("TESSERA_"));
    }
    assert_eq!(reader.finish(), [], "keys in deploy/node.example.toml that do not exist");
}

#[test]
fn the_example_is_usable_as_it_is() {
    let config = parse(EXAMPLE, &[]).unwrap();
    assert_eq!(config.members.len(), 3);
}

#[test]
fn every_key_is_read() {
    // A key that the schema lists and nothing reads would end up as an unknown one.
    for (key, _) in KEYS {
        let problems = parse(MINIMAL, &[(&environment_name(key), "?")]).err().unwrap_or_default();
        assert!(!problems.iter().any(|problem| problem.contains("unknown key")), "{key}: {problems:?}");
    }
}
