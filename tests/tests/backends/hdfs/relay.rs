//! Stands between a client and a name node.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Passes requests on, and answers back or not. Its threads end with the test's process.
pub struct Relay {
    pub address: String,
    swallows: Arc<AtomicBool>,
}

impl Relay {
    pub fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let swallows = Arc::new(AtomicBool::new(false));
        let swallowing = swallows.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let (requests, answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || copy(requests, server, &AtomicBool::new(false)));
                let swallowing = swallowing.clone();
                thread::spawn(move || copy(answers, client, &swallowing));
            }
        });
        Self { address, swallows }
    }

    /// Whether answers are lost from now on.
    pub fn swallow(&self, all: bool) {
        self.swallows.store(all, Ordering::SeqCst);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, swallows: &AtomicBool) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !swallows.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // One that is gone already needs no goodbye.
    to.shutdown(std::net::Shutdown::Both).ok();
}
