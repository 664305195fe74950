//! The tracker as a running part of a node.
