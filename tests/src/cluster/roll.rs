//! A rolling restart: `twm-ctl` selects the nodes, this process restarts them.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, ensure};

use super::{Cluster, Program, eventually};

/// Requests the restart of a node from this process, and waits until it is done.
const EXEC: &str = "touch restart.$TWM_NODE_ID; while [ -e restart.$TWM_NODE_ID ]; do sleep 0.05; done";

impl Cluster {
    /// Restarts the nodes one by one with `twm-ctl rolling-restart`. Returns the nodes in the order of the
    /// requests.
    ///
    /// # Errors
    /// A node does not stop or start, or `twm-ctl` fails.
    pub async fn rolling_restart(&mut self) -> anyhow::Result<Vec<u64>> {
        let mut command = Program::Ctl.command()?;
        command.current_dir(self.folder()).args(["--endpoints", &self.endpoints(), "rolling-restart"]);
        command.args(["--exec", EXEC, "--node-timeout", "60"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut roll = command.spawn().context("starting twm-ctl")?;
        let mut restarted = Vec::new();
        for _ in self.ids() {
            let asked = eventually("twm-ctl asks for a restart", async || {
                let asked =
                    self.ids().into_iter().find(|id| self.folder().join(format!("restart.{id}")).exists());
                Ok(asked.map(Some).or(roll.try_wait()?.map(|_| None)))
            });
            let Some(id) = asked.await? else { break };
            self.node(id)?.stop().await?;
            self.node(id)?.start()?;
            restarted.push(id);
            fs::remove_file(self.folder().join(format!("restart.{id}")))?;
        }
        let output = roll.wait_with_output().await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "twm-ctl rolling-restart ended with {}: {complaint}", output.status);
        Ok(restarted)
    }
}
