use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rcgen::{CertificateParams, KeyPair};

use crate::console::Console;
use crate::fleetctl::Fleetctl;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_to_a_good_server_is_told() {
    let console = Console::new().await;
    let address = console.url.strip_prefix("https://").unwrap();
    let steps = format!(
        "Success: can resolve host 127.0.0.1.\nSuccess: can dial server at {address}.\nSuccess: TLS certificate seems valid.\n"
    );
    let end = "Success: agent API endpoints are available.\n";
    let certificate = "server/tls/server.crt";
    let run = console.fleetctl.run(&["debug", "connection", address, "--fleet-certificate", certificate]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let head = "Debugging connection to 127.0.0.1; Configuration context: ";
    let with_address = "none - using provided address; Root CA: server/tls/server.crt; TLS: secure.\n";
    let certificate_lines = run.stdout.strip_prefix(&format!("{head}{with_address}{steps}")).unwrap();
    let certificate_lines = certificate_lines.strip_suffix(end).unwrap();
    assert!(certificate_lines.contains("names: ") && certificate_lines.contains("127.0.0.1"), "{run:?}");
    assert_eq!(run.stderr, "", "the report is on one stream");

    let of_context = console.good(&["debug", "connection"]);
    assert!(
        of_context.starts_with(&format!("{head}default; Root CA: /"))
            && of_context.contains(&steps)
            && of_context.ends_with(end),
        "{of_context}"
    );
    for (flags, part) in [
        (vec!["--fleet-certificate", certificate], "can only be set when an <address> is provided"),
        (vec![address, "--context", "default"], "the --context flag cannot be set when an <address> is provided"),
        (vec![address, "--config", "x"], "the --config flag cannot be set when an <address> is provided"),
    ] {
        let run = console.bad(&[&["debug", "connection"], flags.as_slice()].concat());
        assert!(run.stderr.contains(part), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_trusted_is_explained() {
    let console = Console::new().await;
    let address = console.url.strip_prefix("https://").unwrap();
    let other = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    console.fleetctl.write("other.pem", &other.self_signed(&KeyPair::generate().unwrap()).unwrap().pem());
    let run = console.bad(&["debug", "connection", address, "--fleet-certificate", "other.pem"]);
    assert!(run.stdout.ends_with(&format!("Success: can dial server at {address}.\n")), "{run:?}");
    assert!(run.stderr.starts_with("Error: Fail: certificate: "), "{run:?}");
    for part in ["Issued by: ", "SHA-256: ", "Remedy: other.pem is not the certificate of this server"] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    let run = console.bad(&["debug", "connection", address, "--fleet-certificate", "none.pem"]);
    assert!(run.stdout.is_empty() && run.stderr.contains("none.pem"), "{run:?}");
    let unnamed = address.replace("127.0.0.1", "127.0.0.2");
    let run = console.bad(&["debug", "connection", &unnamed, "--fleet-certificate", "server/tls/server.crt"]);
    assert!(run.stderr.contains("127.0.0.2") && run.stderr.starts_with("Error: Fail: "), "{run:?}");
}

#[test]
fn a_port_without_a_server_and_another_server_are_told_apart() {
    let fleetctl = Fleetctl::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        // The dial, then the request.
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !String::from_utf8_lossy(&request).contains("--invalid--") {
                match stream.read(&mut part).unwrap_or(0) {
                    0 => break,
                    read => request.extend_from_slice(&part[..read]),
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\n<html/>");
        }
    });
    let run = fleetctl.run(&["debug", "connection", &address]);
    server.join().unwrap();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.starts_with("Error: Fail: agent API endpoint: 200 OK from /api/v1/osquery/enroll"), "{run:?}");
    assert!(run.stderr.contains("another program listens at this address"), "{run:?}");

    let run = fleetctl.run(&["debug", "connection", &address]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.starts_with("Error: Fail: dial server: Connection refused"), "{run:?}");
    let run = fleetctl.run(&["debug", "connection", "no-such-host.invalid"]);
    assert!(run.stderr.starts_with("Error: Fail: resolve host: "), "{run:?}");
    let run = fleetctl.run(&["debug", "connection"]);
    assert!(run.stderr.contains("provide an <address> argument to debug"), "{run:?}");
}
