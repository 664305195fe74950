//! The style of tables.

use comfy_table::{CellAlignment, Table, presets};

/// A table without lines, two spaces between columns. A `>` before a header aligns its column to the right.
pub fn columns<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header.map(|h| h.trim_start_matches('>')).to_vec());
    for row in rows {
        table.add_row(row.to_vec());
    }
    for (index, name) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if name.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_spaces() {
        let rows = [["a".to_owned(), "1".to_owned()], ["bcd".to_owned(), "234".to_owned()]];
        let text = columns(["NAME", ">N"], rows).trim_fmt();
        assert_eq!(text, "NAME    N\na       1\nbcd   234");
    }
}
