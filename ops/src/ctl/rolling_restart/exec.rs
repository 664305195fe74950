//! The operator's command that restarts one node.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use api::model::NodeId;
use tokio::time::{Instant, sleep};

use crate::ctl::CtlError;

/// Pause between two checks whether the command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs the command and waits until it ends. Its output goes to standard error.
pub async fn run(command: &str, node: NodeId, address: &str, deadline: Instant) -> Result<(), CtlError> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("TWM_NODE_ID", node.to_string())
        .env("TWM_NODE_ADDRESS", address)
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()))
        .spawn()
        .map_err(CtlError::io("starting sh"))?;
    loop {
        if let Some(exit) = child.try_wait().map_err(CtlError::io("waiting for the command of --exec"))? {
            return match exit.success() {
                true => Ok(()),
                false => Err(CtlError::Failed(format!(
                    "the command of --exec failed ({exit}); look at what it printed"
                ))),
            };
        }
        if Instant::now() >= deadline {
            child.kill().and_then(|()| child.wait()).map_err(CtlError::io("ending the command of --exec"))?;
            return Err(CtlError::Failed(
                "the command of --exec did not end in time and was killed; it must start the node in the background"
                    .to_owned(),
            ));
        }
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn the_command_knows_its_node() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("told");
        let command = format!("echo $TWM_NODE_ID $TWM_NODE_ADDRESS > {}", file.display());
        run(&command, 3, "h:1", soon()).await.unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "3 h:1\n");
    }

    #[tokio::test]
    async fn a_failed_command_is_told_with_its_status() {
        let error = run("exit 3", 1, "h:1", soon()).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed() {
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = run("exec sleep 600", 1, "h:1", deadline).await.unwrap_err().to_string();
        assert!(error.contains("did not end in time"), "{error}");
    }
}
