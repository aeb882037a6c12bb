//! Administrative calls: parameters sent and replies read (reference http-api 8 to 12).

use tessera_client::{
    Client, ClientError, InitRequest, Method, Secret, ShowRequest, TokenSelector, UserQuery, UserRef,
    passwd_resolver_spec,
};

use crate::server::{Answer, Server, error, ok, status, value};

async fn asked(answer: Answer) -> (Server, Client) {
    let server = Server::start(move |_| answer.clone()).await;
    let client = Client::builder().url(&server.url).build().unwrap();
    (server, client)
}

#[tokio::test]
async fn an_enrolment_returns_serial_seed_and_url() {
    let body = r#"{"result": {"status": true, "value": true}, "id": 1, "detail": {"serial": "OATH00019A3B",
        "otpkey": {"order": "1", "description": "OTP seed", "value": "seed://3132333435363738393031323334353637383930", "img": "<img/>"},
        "enrollment_url": {"order": "0", "description": "OTPAuth Url", "value": "otpauth://hotp/LinOTP:alice?secret=X", "img": ""},
        "googleurl": {"value": "otpauth://other"}}}"#;
    let (server, client) = asked(ok(body)).await;
    let request = InitRequest {
        token_type: "totp".to_owned(),
        genkey: true,
        otplen: Some(6),
        pin: Some(Secret::from("mypin")),
        user: Some(UserRef::in_realm("alice", "bank")),
        extra: vec![("timeStep".to_owned(), "30".to_owned())],
        ..InitRequest::default()
    };
    assert!(!format!("{request:?}").contains("mypin"));
    let result = client.init_token(&request).await.unwrap();
    assert_eq!(
        server.received()[0].body,
        "type=totp&genkey=1&otplen=6&pin=mypin&user=alice&realm=bank&timeStep=30"
    );
    assert_eq!(result.serial, "OATH00019A3B");
    assert_eq!(result.otpkey.as_ref().unwrap().expose(), "3132333435363738393031323334353637383930");
    assert_eq!(result.enrollment_url.as_ref().unwrap().expose(), "otpauth://hotp/LinOTP:alice?secret=X");
    assert!(!format!("{result:?}").contains("3132"), "{result:?}");
}

#[tokio::test]
async fn a_token_list_is_read_with_its_paging() {
    let body = r#"{"result": {"status": true, "value": {"resultset": {"pages": 4, "pagesize": 5, "tokens": 20, "page": 2},
        "data": [{"LinOtp.TokenId": 7, "LinOtp.TokenSerialnumber": "HA", "LinOtp.TokenType": "HMAC", "LinOtp.TokenDesc": "",
        "LinOtp.TokenInfo": "{\n}", "LinOtp.IdResolver": "/etc/pw", "LinOtp.IdResClass": "useridresolver.PasswdIdResolver.IdResolver.pwres",
        "LinOtp.Userid": "1000", "LinOtp.OtpLen": 6, "LinOtp.MaxFail": 10, "LinOtp.FailCount": 2, "LinOtp.Count": 34,
        "LinOtp.CountWindow": 10, "LinOtp.SyncWindow": 1000, "LinOtp.Isactive": true,
        "LinOtp.CreationDate": "Sat, 21 Nov 2026 20:30:16 GMT", "LinOtp.LastAuthSuccess": "", "LinOtp.LastAuthMatch": null,
        "LinOtp.RealmNames": ["bank", "shop"], "User.username": "alice", "User.userid": "1000", "User.description": "Alice",
        "User.email": "a@b.c", "LinOtp.Future": [1]}]}}, "id": 1}"#;
    let (server, client) = asked(ok(body)).await;
    let request = ShowRequest {
        serial: Some("H*".to_owned()),
        realm: Some("bank".to_owned()),
        page: Some(2),
        page_size: Some(5),
        user_fields: vec!["email".to_owned()],
        ..ShowRequest::default()
    };
    let page = client.show_tokens(&request).await.unwrap();
    assert_eq!(
        server.received()[0].target,
        "/admin/show?serial=H*&viewrealm=bank&page=2&pagesize=5&user_fields=email"
    );
    assert_eq!((page.pages, page.page, page.page_size, page.tokens), (4, 2, 5, 20));
    let row = &page.rows[0];
    assert_eq!((row.id, row.serial.as_str(), row.token_type.as_str()), (7, "HA", "HMAC"));
    assert_eq!((row.fail_count, row.fail_count_max, row.next_counter, row.digits), (2, 10, 34, 6));
    assert_eq!((row.count_window, row.sync_window, row.active), (10, 1000, true));
    assert_eq!((row.login.as_str(), row.user_id.as_str()), ("alice", "1000"));
    assert_eq!(row.realms, ["bank", "shop"]);
    assert_eq!(row.last_match_at, "");
    assert_eq!(row.extra["User.email"], "a@b.c");
}

#[tokio::test]
async fn an_error_envelope_is_an_api_error_at_any_status() {
    for code in [200, 403, 500] {
        let (_server, client) = asked(status(code, &error(1102, "ERR1102: no token"))).await;
        let error = client.remove_tokens(&TokenSelector::serial("X")).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Api { code: 1102, message } if message == "ERR1102: no token"),
            "{error}"
        );
    }
    let (_server, client) = asked(status(404, "<html>404</html>")).await;
    let error = client.unassign_token("X").await.unwrap_err();
    assert!(matches!(error, ClientError::Status { code: 404 }), "{error}");
    let (_server, client) = asked(ok("<html>proxy login</html>")).await;
    let error = client.unassign_token("X").await.unwrap_err();
    assert!(matches!(error, ClientError::BadReply { .. }), "{error}");
    let (_server, client) = asked(ok(r#"{"result": {"status": false, "value": false}, "id": 0}"#)).await;
    let error = client.unassign_token("X").await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn token_operations_send_what_the_api_names() {
    let (server, client) = asked(value("1")).await;
    let alice = UserRef::in_realm("alice", "bank");
    client.enable_tokens(&TokenSelector::serial("A1")).await.unwrap();
    client.reset_tokens(&TokenSelector::user(alice.clone())).await.unwrap();
    client.set_token_realms("A1", &["bank", "shop"]).await.unwrap();
    client.set_user_pin("A1", "1234").await.unwrap();
    assert!(client.assign_token("A1", &alice, Some("1234")).await.is_err());
    let sent: Vec<String> =
        server.received().iter().map(|request| format!("{} {}", request.target, request.body)).collect();
    assert_eq!(
        sent,
        [
            "/admin/enable serial=A1",
            "/admin/reset user=alice&realm=bank",
            "/admin/tokenrealm serial=A1&realms=bank%2Cshop",
            "/admin/setPin serial=A1&userpin=1234",
            "/admin/assign serial=A1&user=alice&realm=bank&pin=1234",
        ]
    );
}

#[tokio::test]
async fn the_counts_of_set_are_returned_by_name() {
    let (server, client) = asked(value(r#"{"set pin": 1, "set OtpLen": 1}"#)).await;
    let counts =
        client.set_tokens(&TokenSelector::serial("A1"), &[("pin", "1234"), ("OtpLen", "8")]).await.unwrap();
    assert_eq!((counts["set pin"], counts["set OtpLen"]), (1, 1));
    assert_eq!(server.received()[0].body, "serial=A1&pin=1234&OtpLen=8");
}

/// The one-line form of reference http-api 2.4.
#[tokio::test]
async fn a_streamed_user_list_is_read() {
    let body = r#"{"jsonrpc": "2.0802", "result": {"status": true, "value": [ {"username": "alice", "userid": 1000, "email": "a@b.c",
        "resolver": "useridresolver.PasswdIdResolver.IdResolver.pwres", "groupid": "5"}, {"username": "bob", "phone": null} ], "queried" : 2 , "page": 0}, "version": "LinOTP", "id": 1}"#;
    let (server, client) = asked(ok(body)).await;
    let query = UserQuery {
        realm: Some("bank".to_owned()),
        page: Some(0),
        page_size: Some(16),
        fields: vec![("username".to_owned(), "*".to_owned())],
        ..UserQuery::default()
    };
    let page = client.list_users(&query).await.unwrap();
    assert_eq!(server.received()[0].target, "/admin/userlist?realm=bank&page=0&rp=16&username=*");
    assert_eq!((page.queried, page.page, page.users.len()), (Some(2), Some(0), 2));
    assert_eq!((page.users[0].userid.as_str(), page.users[0].extra["groupid"].as_str()), ("1000", Some("5")));
    assert_eq!(page.users[0].resolver, passwd_resolver_spec("pwres"));
    let (_server, client) = asked(ok(&error(9876, "ERR9876: page"))).await;
    assert!(matches!(client.list_users(&query).await, Err(ClientError::Api { code: 9876, .. })));
}

/// The example of reference http-api 12.6; `default` is a text there.
#[tokio::test]
async fn realms_are_read_and_the_default_is_found() {
    let realms = r#"{"shop": {"realmname": "shop", "entry": "linotp.useridresolver.group.shop", "useridresolver": [], "admin": false},
        "myrealm": {"realmname": "myrealm", "entry": "linotp.useridresolver.group.myrealm",
        "useridresolver": ["useridresolver.PasswdIdResolver.IdResolver.pwres"], "default": "true", "admin": false}}"#;
    let (_server, client) = asked(value(realms)).await;
    let found = client.list_realms().await.unwrap();
    assert_eq!(found.iter().map(|realm| realm.name.as_str()).collect::<Vec<_>>(), ["myrealm", "shop"]);
    assert_eq!(found[0].resolvers, [passwd_resolver_spec("pwres")]);
    assert_eq!(client.default_realm().await.unwrap().unwrap().name, "myrealm");
    // Without a default the server answers with all realms.
    let (_server, client) = asked(value(r#"{"shop": {"realmname": "shop"}}"#)).await;
    assert_eq!(client.default_realm().await.unwrap(), None);
}

#[tokio::test]
async fn deleting_says_whether_there_was_something() {
    for (inner, expected) in [("true", true), ("false", false)] {
        let (_server, client) = asked(value(&format!(r#"{{"delRealm": {{"result": {inner}}}}}"#))).await;
        assert_eq!(client.delete_realm("x").await.unwrap(), expected);
        let (_server, client) = asked(value(inner)).await;
        assert_eq!(client.delete_resolver("x").await.unwrap(), expected);
        assert_eq!(client.set_default_realm("x").await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_passwd_resolver_is_created_or_updated() {
    let absent = r#"{"type": null, "data": {}, "resolver": "pwres"}"#;
    let present = r#"{"type": "passwdresolver", "data": {"fileName": "/old"}, "resolver": "pwres", "spec": "s", "admin": false}"#;
    let cases = [
        (absent, "name=pwres&type=passwdresolver&fileName=%2Fnew"),
        (present, "name=pwres&type=passwdresolver&previous_name=pwres&fileName=%2Fnew"),
    ];
    for (existing, sent) in cases {
        let server = Server::start(move |request| match request.path() {
            "/system/getResolver" => value(existing),
            _ => value("true"),
        })
        .await;
        let client = Client::builder().url(&server.url).build().unwrap();
        client.set_passwd_resolver("pwres", "/new").await.unwrap();
        assert_eq!(server.received()[1].body, sent);
    }
}

#[tokio::test]
async fn configuration_entries_are_read_and_written() {
    let (_server, client) = asked(value(r#"{"getConfig DefaultMaxFailCount": "10"}"#)).await;
    assert_eq!(client.config_entry("DefaultMaxFailCount").await.unwrap().as_deref(), Some("10"));
    let (_server, client) = asked(value(r#"{"getConfig nope": null}"#)).await;
    assert_eq!(client.config_entry("nope").await.unwrap(), None);
    let (_server, client) = asked(value(r#"{"DefaultRealm": "bank", "n": 5}"#)).await;
    assert_eq!(client.config().await.unwrap()["n"], "5");
    let (server, client) = asked(value(r#"{"setConfig a": true}"#)).await;
    client.set_config("a", "b c", Some("password")).await.unwrap();
    assert_eq!(server.received()[0].body, "key=a&value=b+c&type=password");
}

#[tokio::test]
async fn the_cluster_status_is_read_with_and_without_envelope() {
    let status = r#"{"nodes": [{"id": 1, "role": "leader", "term": 3, "last": 120, "applied": 119, "snapshot": null, "lag": 0, "version": "0.1.0", "reachable": true}]}"#;
    for answer in [ok(status), value(status)] {
        let (_server, client) = asked(answer).await;
        let cluster = client.cluster_status().await.unwrap();
        let node = &cluster.nodes[0];
        assert_eq!((node.id.as_str(), node.role.as_str(), node.reachable), ("1", "leader", true));
        assert_eq!((node.term, node.applied, node.snapshot), (Some(3), Some(119), None));
    }
}

#[tokio::test]
async fn the_generic_call_returns_replies_of_any_shape() {
    let (server, client) = asked(ok(r#"{"page": 1, "rows": [], "total": 564}"#)).await;
    let reply = client.call(Method::Get, "audit/search", &[("user", "a%")]).await.unwrap();
    assert_eq!(reply["total"], 564);
    assert_eq!(server.received()[0].target, "/audit/search?user=a%25");
    let (_server, client) = asked(ok(&error(410, "no right"))).await;
    let error = client.call(Method::Post, "/system/setPolicy", &[]).await.unwrap_err();
    assert!(matches!(error, ClientError::Api { code: 410, .. }), "{error}");
}

#[tokio::test]
async fn a_file_is_uploaded_as_multipart_form() {
    let (server, client) = asked(ok("<jsonrpc/>")).await;
    let reply =
        client.upload("/admin/loadtokens", &[("type", "oathcsv")], "a\"b.csv", b"S1, 00").await.unwrap();
    assert_eq!(reply, "<jsonrpc/>");
    let request = &server.received()[0];
    let boundary =
        request.header("content-type").unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    let expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\noathcsv\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a%22b.csv\"\r\n\
         Content-Type: application/octet-stream\r\n\r\nS1, 00\r\n--{boundary}--\r\n"
    );
    assert_eq!(request.body, expected);
}
