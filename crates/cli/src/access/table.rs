//! Rows in columns.

/// Lines whose columns begin at the same place. The first row is the head.
pub(super) fn lines<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        cells.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_begin_at_the_same_place() {
        let rows = [["NAME", "ROLE"], ["übermäßig", "viewer"], ["ci", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(lines(&rows), ["NAME       ROLE", "übermäßig  viewer", "ci"]);
    }
}
