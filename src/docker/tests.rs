use super::*;

#[test]
fn compose_is_told_everything_on_its_command_line() {
    let compose = Compose {
        folder: Path::new("/no such folder"),
        project: "p",
        files: vec![PathBuf::from("/f.yml")],
    };
    assert_eq!(
        compose.up().pasteable(),
        format!(
            "docker compose --project-name p --env-file {NO_FILE} --project-directory '/no such folder' \
             --file /f.yml up --detach --no-build --remove-orphans --quiet-pull"
        )
    );
    // What goes has its turn, which is not while others start.
    let start = compose.start(&["postgres-slave1"]).pasteable();
    assert!(
        start.ends_with("up --detach --no-build --quiet-pull --no-deps postgres-slave1"),
        "{start}"
    );
}

#[test]
fn containers_are_read_by_service() {
    let output = "{\"id\":\"abc\",\"state\":\"running\",\"status\":\"Up 2 seconds\",\"service\":\"postgres-master\",\
                  \"spec\":\"1f\"}\n";
    let containers = parse_containers(output).unwrap();
    assert!(containers["postgres-master"].is_running());
    assert_eq!(containers["postgres-master"].spec, "1f");
    assert!(parse_containers("nonsense").is_err());
}

#[test]
fn an_engine_that_is_away_has_no_version() {
    fn check(output: &str, expected: Option<&str>) {
        assert_eq!(parse_engine_version(output).as_deref(), expected);
    }
    check(
        r#"{"Client":{"Version":"28.2.2"},"Server":{"Version":"20.10.24"}}"#,
        Some("20.10.24"),
    );
    check(r#"{"Client":{"Version":"28.2.2"},"Server":null}"#, None);
    check("", None);
}

#[test]
fn a_build_tells_which_package_there_is_not() {
    fn check(line: &str, expected: Option<&str>) {
        assert_eq!(unknown_package(line).as_deref(), expected);
    }
    check("#8 3.1 E: Unable to locate package nonsense", Some("nonsense"));
    check(
        "#8 3.1 E: Package 'gone' has no installation candidate",
        Some("gone"),
    );
    check("#8 3.1 Reading package lists...", None);
}

#[test]
fn a_port_leads_to_its_container() {
    let output = r#"{"name":"web","ports":"127.0.0.1:5000->80/tcp, :::15001->81/tcp","project":""}"#;
    assert_eq!(parse_port_owner(output, 5000).as_deref(), Some("web"));
    assert_eq!(parse_port_owner(output, 5001), None);
}

#[test]
fn pgbouncers_clients_are_counted_by_title() {
    let output = "database|user|cl_active|cl_waiting|sv_active\npgbouncer|pgbouncer|1|0|0\nshop|a|7|2|9\nshop|b|1|0|1\n(3 rows)\n";
    assert_eq!(parse_bouncer_pools(output), Some((10, 2)));
    assert_eq!(parse_bouncer_pools(""), None);
}

#[test]
fn a_folder_with_a_comma_is_mounted_whole() {
    assert_eq!(
        mount(Path::new("/a,b"), "/project"),
        "type=bind,\"source=/a,b\",target=/project"
    );
}
