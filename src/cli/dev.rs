//! `farebox dev`: a gate on this machine, with everything a first look needs.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use super::secrets::{from_file, random, random_hex};
use super::{Failure, remote, session};
use crate::auth::{ApiKey, Mode, Rights, Ring, Session};
use crate::clock::Millis;
use crate::ids::Name;

/// Runs the Worker with local storage, a demo upstream, and a demo customer with a limit.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Port of the gate; the next free one where it is taken.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// The demo customer's limit a month, in USD.
    #[arg(long, default_value = "5")]
    limit: String,
    /// Start, print, and stop again: shows that everything works.
    #[arg(long)]
    check: bool,
}

/// The gate has to answer within this; a first start compiles the Worker's Wasm.
const START_MAX: Duration = Duration::from_secs(120);
const CUSTOMER: &str = "demo";
const VARS: &str = ".dev.vars";
const STATE: &str = ".farebox";

/// What was started, stopped again when this goes.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            stop(child);
        }
    }
}

/// Asks first: wrangler has a runtime of its own to stop.
fn stop(child: &mut Child) {
    let id = child.id().to_string();
    let _ = Command::new("kill").args(["-TERM", &id]).status();
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if !Path::new("wrangler.toml").exists() || !Path::new("node_modules").exists() {
        return Err(
            "run this in Farebox's own folder, through `make dev`, which installs what is \
                    missing first"
                .into(),
        );
    }
    let stopped = on_stop()?;
    let vars = PathBuf::from(VARS);
    make_vars(&vars)?;
    let setting = |name: &str| {
        from_file(&vars, name)
            .ok_or_else(|| format!("{VARS} has no {name}; delete it to remake it"))
    };
    let (port, upstream_port) = (free_port(args.port)?, free_port(0)?);
    let url = format!("http://127.0.0.1:{port}");
    let mut running = Running(Vec::new());
    running.0.push(upstream(upstream_port, &setting("OPENAI_API_KEY")?)?);
    let log = PathBuf::from(STATE).join("wrangler.log");
    running.0.push(gate(port, upstream_port, &log)?);
    wait_for(&url, &mut running, &log, &stopped)?;
    let key = demo_customer(&url, args, &setting)?;
    let ring = Ring::parse(&setting("FAREBOX_SESSION_SECRETS")?).map_err(|e| e.to_string())?;
    let life = Millis::from_secs(3_600);
    let session = Session::new(demo()?, Rights::Read, session::now(), life);
    greet(&url, &key, &session.text(&ring).unwrap_or_default());
    if args.check {
        return Ok(());
    }
    loop {
        match stopped.recv_timeout(Duration::from_millis(500)) {
            Err(RecvTimeoutError::Timeout) => still_running(&mut running, &log)?,
            _ => return Ok(()),
        }
    }
}

fn demo() -> Result<Name, Failure> {
    CUSTOMER.parse().map_err(|()| "the demo customer's name".to_owned())
}

/// Told once the process is asked to stop.
fn on_stop() -> Result<Receiver<()>, Failure> {
    let (tell, stopped) = channel();
    ctrlc::set_handler(move || {
        let _ = tell.send(());
    })
    .map_err(|error| error.to_string())?;
    Ok(stopped)
}

/// Secrets of this machine's own, made once, readable by their owner only.
fn make_vars(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    let upstream_key = format!("sk-demo-{}", random_hex()?);
    for name in ["FAREBOX_KEY_SECRETS", "FAREBOX_RECORD_SECRETS", "FAREBOX_SESSION_SECRETS"] {
        writeln!(file, "{name}=\"1:{}\"", random_hex()?).map_err(failed)?;
    }
    writeln!(file, "FAREBOX_ADMIN_TOKEN=\"{}\"", random_hex()?).map_err(failed)?;
    writeln!(file, "OPENAI_API_KEY=\"{upstream_key}\"").map_err(failed)?;
    writeln!(file, "ANTHROPIC_API_KEY=\"{upstream_key}\"").map_err(failed)
}

/// The port asked for, or the next free one; 0 = any.
fn free_port(wanted: u16) -> Result<u16, Failure> {
    for port in [wanted, 0] {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().map(|addr| addr.port()).map_err(|e| e.to_string());
        }
    }
    Err("no free port on 127.0.0.1".into())
}

/// Node from node_modules: wrangler needs a newer one than many systems have.
fn node() -> Command {
    let mut node = Command::new("node_modules/.bin/node");
    let path = std::env::var("PATH").unwrap_or_default();
    node.env("PATH", format!("node_modules/.bin:{path}")).stdin(Stdio::null());
    node
}

fn upstream(port: u16, key: &str) -> Result<Child, Failure> {
    node()
        .args(["examples/upstream/server.mjs", "--gap-ms", "40", "--port", &port.to_string()])
        .args(["--key", key])
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("the demo upstream: {error}"))
}

fn gate(port: u16, upstream_port: u16, log: &Path) -> Result<Child, Failure> {
    fs::create_dir_all(STATE).map_err(|error| format!("{STATE}: {error}"))?;
    let log = fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let entry = |auth: &str, secret: &str| {
        let base_url = format!("http://127.0.0.1:{upstream_port}");
        json!({ "base_url": base_url, "auth": auth, "secret": secret })
    };
    let upstreams = json!({ "openai": entry("bearer", "OPENAI_API_KEY"),
                            "anthropic": entry("x-api-key", "ANTHROPIC_API_KEY") });
    node()
        .args(["node_modules/wrangler/bin/wrangler.js", "dev", "--ip", "127.0.0.1"])
        .args(["--port", &port.to_string(), "--persist-to", &format!("{STATE}/state")])
        .args(["--show-interactive-dev-session=false", "--inspector-port", "0"])
        .args(["--var", "FAREBOX_ENV:dev", "--var", "FAREBOX_OUTBOX_DELAY_SECONDS:1"])
        .args(["--var", &format!("FAREBOX_UPSTREAMS:{upstreams}")])
        .env("WRANGLER_SEND_METRICS", "false")
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("wrangler: {error}"))
}

fn wait_for(
    url: &str,
    running: &mut Running,
    log: &Path,
    stopped: &Receiver<()>,
) -> Result<(), Failure> {
    eprint!("Starting the gate ");
    let until = Instant::now() + START_MAX;
    while Instant::now() < until {
        if ureq::get(format!("{url}/v1/farebox/health")).call().is_ok() {
            eprintln!();
            return Ok(());
        }
        still_running(running, log)?;
        eprint!(".");
        if !matches!(
            stopped.recv_timeout(Duration::from_millis(300)),
            Err(RecvTimeoutError::Timeout)
        ) {
            return Err("stopped before the gate was up".into());
        }
    }
    Err(format!("the gate did not answer at {url}; its log:\n{}", tail(log)))
}

fn still_running(running: &mut Running, log: &Path) -> Result<(), Failure> {
    for child in &mut running.0 {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("a part of the gate ended ({status}); its log:\n{}", tail(log)));
        }
    }
    Ok(())
}

/// The last lines of the log.
fn tail(log: &Path) -> String {
    let mut text = String::new();
    let _ = fs::File::open(log).and_then(|mut file| file.read_to_string(&mut text));
    let lines: Vec<&str> = text.lines().rev().take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// The demo customer with its limit, and a key that stays the same from start to start.
fn demo_customer(
    url: &str,
    args: &Args,
    setting: &impl Fn(&str) -> Result<String, Failure>,
) -> Result<String, Failure> {
    let token = setting("FAREBOX_ADMIN_TOKEN")?;
    let ring = Ring::parse(&setting("FAREBOX_KEY_SECRETS")?).map_err(|error| error.to_string())?;
    let limits =
        json!([{ "id": "monthly", "window": "month", "kind": "hard", "limit": args.limit }]);
    let terms = json!({ "currency": "USD", "limits": limits });
    remote::call(url, &token, "PUT", &format!("customers/{CUSTOMER}"), &terms)?;
    let kept = PathBuf::from(STATE).join("demo-key");
    let known = fs::read_to_string(&kept).ok().and_then(|t| ApiKey::verify(t.trim(), &ring).ok());
    let key = if let Some(key) = known {
        key
    } else {
        let id = "demo".parse().map_err(|()| "the demo key's name")?;
        ApiKey::new(Mode::Test, demo()?, id, random()?)
    };
    let text = key.text(&ring).ok_or("FAREBOX_KEY_SECRETS holds no secret")?;
    let body = json!({ "secret_sha256": key.secret_sha256(), "label": "demo" });
    let path = format!("customers/{CUSTOMER}/keys/{}", key.key_id);
    remote::call(url, &token, "PUT", &path, &body)?;
    fs::write(&kept, &text).map_err(|error| format!("{}: {error}", kept.display()))?;
    Ok(text)
}

fn greet(url: &str, key: &str, session: &str) {
    println!(
        "\nFarebox is running, in front of a demo upstream.\n\n\
         Dashboard (for an hour; `farebox session new --customer {CUSTOMER} --url {url}` makes another):\n  \
         {url}/#session={session}\n\n\
         Key of customer \"{CUSTOMER}\":\n  {key}\n\n\
         Try it, and watch the dashboard:\n  \
         curl {url}/v1/chat/completions -H 'authorization: Bearer {key}' \\\n    \
         -H 'content-type: application/json' \\\n    \
         -d '{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"user\",\"content\":\"Say hi\"}}]}}'\n\n\
         Stop with Ctrl-C. The gate's log is in {STATE}/wrangler.log."
    );
}
