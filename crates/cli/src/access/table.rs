//! Tables of text.

/// Formats rows as lines with aligned columns. The first row is the header.
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
    fn columns_are_aligned() {
        let rows = [["NAME", "ROLE"], ["übermäßig", "viewer"], ["ci", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(lines(&rows), ["NAME       ROLE", "übermäßig  viewer", "ci"]);
    }
}
