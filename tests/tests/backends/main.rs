//! The contract of a dataset, kept by every backend on its real server.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

#[cfg(feature = "cassandra")]
mod cassandra;
#[cfg(feature = "cassandra")]
mod cassandra_trouble;
mod contract;
mod files;
#[cfg(feature = "hdfs")]
mod hdfs;
#[cfg(feature = "s3")]
mod s3;
#[cfg(any(feature = "cassandra", feature = "hdfs", feature = "s3"))]
mod tools;

/// All checks of the contract for one backend.
macro_rules! keeps_the_contract {
    ($backend:expr) => {
        keeps_the_contract! { $backend =>
            a_file_appears_when_it_is_published_and_not_before,
            an_update_puts_new_posts_before_the_saved_ones,
            any_node_continues_at_a_save_point_while_the_old_writer_wakes_up,
            a_list_is_continued_and_rewritten_without_repeated_followers,
            a_publication_may_be_repeated_by_any_node,
            a_draft_that_was_lost_is_reported,
            a_save_point_that_was_lost_is_reported,
            a_discarded_draft_leaves_nothing,
            an_unreadable_file_is_set_aside_and_replaced,
            a_stamp_distinguishes_every_version,
            drafts_of_dead_workers_are_listed_and_removed_by_any_node,
            accounts_of_two_sources_do_not_meet,
            a_draft_without_items_is_no_file,
            profiles_are_kept_over_leases_and_analyses,
            a_batch_of_provenance_is_there_once_however_often_it_is_written,
            a_torn_batch_is_named_and_the_others_are_read,
            provenance_is_no_file_and_no_draft,
        }
    };
    ($backend:expr => $($check:ident,)*) => {
        $(#[test]
        fn $check() {
            super::contract::$check(&$backend);
        })*
    };
}
pub(crate) use keeps_the_contract;

/// All checks of the tools for one backend.
#[cfg(any(feature = "cassandra", feature = "hdfs", feature = "s3"))]
macro_rules! tools_take_it {
    ($backend:expr) => {
        tools_take_it! { $backend =>
            the_tools_read_it_like_a_folder,
            a_dataset_is_copied_there_and_back,
            files_are_converted_where_they_are_and_from_there,
            a_damaged_file_is_recovered_where_it_is,
            datasets_are_merged_into_it_and_out_of_it,
            a_mistyped_place_is_named,
            provenance_is_shown_copied_and_verified,
        }
    };
    ($backend:expr => $($check:ident,)*) => {
        $(#[test]
        fn $check() {
            super::tools::$check(&$backend);
        })*
    };
}
#[cfg(any(feature = "cassandra", feature = "hdfs", feature = "s3"))]
pub(crate) use tools_take_it;
