//! A headless Chromium, driven by chromedriver.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cluster::eventually;

/// Starts recording errors of the page.
const NOTE_COMPLAINTS: &str = "
    window.complaints = [];
    addEventListener('error', event => complaints.push(event.message));
    addEventListener('unhandledrejection', event => complaints.push(String(event.reason)));
    document.addEventListener('securitypolicyviolation', event => complaints.push(`forbidden: ${event.effectiveDirective}`));
";

/// Screen of a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// Wide and light.
    Desk,
    /// 390 pixels wide, dark mode.
    DarkPhone,
}

/// A browser with one page. Dropping it kills the browser and its driver.
pub struct Browser {
    page: Client,
    _driver: Driver,
    _profile: TempDir,
}

/// A running chromedriver. Dropping it kills the driver and its browsers.
struct Driver {
    process: Child,
    port: u16,
}

impl Browser {
    /// Opens a page.
    ///
    /// # Errors
    /// chromedriver or Chromium is missing or does not start.
    pub async fn open(screen: Screen, url: &str) -> anyhow::Result<Self> {
        let profile = tempfile::Builder::new().prefix("twm-browser-").tempdir()?;
        let driver = Driver::start().await?;
        let mut arguments = vec![
            "--headless=new".to_owned(),
            // Tests run as root, and Chromium's sandbox does not support root.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--window-size=1400,1000".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let mut options = json!({});
        if screen == Screen::DarkPhone {
            arguments.push("--force-dark-mode".to_owned());
            options["mobileEmulation"] =
                json!({ "deviceMetrics": { "width": 390, "height": 844, "pixelRatio": 2.0 } });
        }
        options["args"] = json!(arguments);
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let page =
            builder.capabilities(capabilities).connect(&format!("http://127.0.0.1:{}", driver.port)).await?;
        let browser = Self { page, _driver: driver, _profile: profile };
        browser.page.goto(url).await?;
        browser.run(NOTE_COMPLAINTS).await?;
        Ok(browser)
    }

    /// Navigates to a part of the monitor, as a link would.
    ///
    /// # Errors
    /// The browser is gone.
    pub async fn go(&self, hash: &str) -> anyhow::Result<()> {
        self.run(&format!("location.hash = {}", json!(hash))).await.map(drop)
    }

    /// Runs a script in the page and returns its result.
    ///
    /// # Errors
    /// The script throws.
    pub async fn run(&self, script: &str) -> anyhow::Result<Value> {
        Ok(self.page.execute(script, Vec::new()).await?)
    }

    /// The visible text of the page.
    ///
    /// # Errors
    /// The browser is gone.
    pub async fn text(&self) -> anyhow::Result<String> {
        let text = self.run("return document.body.innerText").await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page shows all of these words.
    ///
    /// # Errors
    /// The page does not show them before the deadline.
    pub async fn shows(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut last = String::new();
        let what = format!("the page shows {words:?}");
        let shown = eventually(&what, async || {
            last = self.text().await?;
            Ok(words.iter().all(|word| last.contains(word)).then_some(()))
        });
        shown.await.with_context(|| format!("it shows:\n{last}"))
    }

    /// Clicks on an element once it exists and is enabled.
    ///
    /// # Errors
    /// The element is not enabled before the deadline, or cannot be clicked on.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        self.act(selector, async |element| element.click().await).await
    }

    /// Types into an element once it exists and is enabled.
    ///
    /// # Errors
    /// The element is not enabled before the deadline, or does not accept keys.
    pub async fn send_keys(&self, selector: &str, keys: &str) -> anyhow::Result<()> {
        self.act(selector, async |element| element.send_keys(keys).await).await
    }

    /// Performs an action on an element. If the page is redrawn between the look-up and the action, the action has no
    /// effect and both are repeated.
    async fn act(
        &self,
        selector: &str,
        act: impl AsyncFn(Element) -> Result<(), CmdError>,
    ) -> anyhow::Result<()> {
        eventually(&format!("there is a {selector}"), async || {
            let Ok(element) = self.page.find(Locator::Css(selector)).await else { return Ok(None) };
            if !element.is_enabled().await.is_ok_and(|enabled| enabled) {
                return Ok(None);
            }
            match act(element).await {
                Err(gone) if gone.is_stale_element_reference() => Ok(None),
                acted => Ok(acted.map(Some)?),
            }
        })
        .await
    }

    /// The errors recorded since the last call.
    ///
    /// # Errors
    /// The browser is gone.
    pub async fn complaints(&self) -> anyhow::Result<Vec<String>> {
        Ok(serde_json::from_value(self.run("return window.complaints.splice(0)").await?)?)
    }

    /// Saves a screenshot of the page under this name in the folder `TWM_SCREENSHOTS`, if set.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn picture(&self, name: &str) -> anyhow::Result<()> {
        let Some(folder) = std::env::var_os("TWM_SCREENSHOTS") else { return Ok(()) };
        let path = Path::new(&folder).join(name).with_extension("png");
        std::fs::write(&path, self.page.screenshot().await?)
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Closes the browser and checks that the page had no errors: no failed scripts, and nothing blocked by the
    /// security policy.
    ///
    /// # Errors
    /// The errors of the page.
    pub async fn close(self) -> anyhow::Result<()> {
        let complaints = self.complaints().await?;
        ensure!(complaints.is_empty(), "the page complained: {complaints:?}");
        self.page.clone().close().await?;
        Ok(())
    }
}

impl Driver {
    /// Starts a driver on a free port.
    ///
    /// chromedriver lets the system choose a port of `::1` and then needs the same port of 127.0.0.1, which may be in
    /// use by another process's connection, even one that has just ended. In this case chromedriver exits, and the
    /// next attempt gets another port.
    async fn start() -> anyhow::Result<Self> {
        let mut last = String::new();
        for _ in 0..50 {
            let process = Command::new("chromedriver")
                .arg("--port=0")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                // The browser is a child of the driver: both are killed with the group.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .context("starting chromedriver; install chromium and chromium-driver")?;
            let mut driver = Self { process, port: 0 };
            let output = driver.process.stdout.take().context("chromedriver without an output")?;
            let mut lines = BufReader::new(output).lines();
            while let Some(line) = lines.next_line().await? {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    driver.port = port.trim_end_matches('.').parse()?;
                    return Ok(driver);
                }
                last = line;
            }
            ensure!(last.contains("port not available"), "chromedriver ended: {last}");
        }
        anyhow::bail!("chromedriver found no port: {last}")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(group) = self.process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // The group may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    use super::*;

    /// In a separate network namespace in which half of the ports that programs can listen on are taken. Ten
    /// repetitions rule out luck.
    #[test]
    fn a_driver_starts_though_half_the_ports_are_taken() -> anyhow::Result<()> {
        let name = format!("twm-ports-{}", std::process::id());
        let ip = |arguments: &str| -> anyhow::Result<()> {
            let status =
                std::process::Command::new("ip").args(arguments.split(' ')).status().context("running ip")?;
            ensure!(status.success(), "ip {arguments}: {status}; this test needs root");
            Ok(())
        };
        ip(&format!("netns add {name}"))?;
        // The open file keeps the namespace alive after its name is deleted.
        let network = File::open(Path::new("/run/netns").join(&name));
        ip(&format!("-netns {name} link set lo up"))?;
        ip(&format!("netns delete {name}"))?;
        let network = network.context("opening the network")?;
        let started = std::thread::spawn(move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40015")?;
            // Of these ports, the system assigns the odd ones to listening sockets.
            let taken = (40001..40016).step_by(4).map(|port| TcpListener::bind(("127.0.0.1", port)));
            let _taken = taken.collect::<Result<Vec<_>, _>>()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            for _ in 0..10 {
                let driver = runtime.block_on(Driver::start())?;
                let port = driver.port;
                ensure!(port % 4 == 3, "it listens on {port}, which is taken or not to be chosen");
            }
            Ok(())
        });
        started.join().map_err(|_| anyhow::anyhow!("the thread panicked"))?
    }
}
