//! Which cells of a model's last feature map belong to which part of the picture.

use ndarray::Array2;

/// Positions of a part along one side.
const STEPS: usize = 4;

/// The one window that is the whole picture: shape `[1, cells]`.
pub(super) fn whole(rows: usize, columns: usize) -> Array2<f32> {
    of_areas(rows, columns, &[(0, 0, rows, columns)])
}

/// [`whole`] and then [`halves`]: shape `[17, cells]`.
pub(super) fn whole_and_halves(rows: usize, columns: usize) -> Array2<f32> {
    ndarray::concatenate![ndarray::Axis(0), whole(rows, columns), halves(rows, columns)]
}

/// Sixteen windows of half the rows and half the columns, evenly spread: shape `[16, cells]`. Rows and columns are at
/// least two. That many and of that size find nearly every picture of a collage again (docs/benchmarks/second-look.md).
pub(super) fn halves(rows: usize, columns: usize) -> Array2<f32> {
    let (height, width) = (rows / 2, columns / 2);
    // Rounded to the nearest cell.
    let place = |step: usize, room: usize| (2 * step * room + STEPS - 1) / (2 * (STEPS - 1));
    let areas: Vec<_> = (0..STEPS * STEPS)
        .map(|n| (place(n / STEPS, rows - height), place(n % STEPS, columns - width), height, width))
        .collect();
    of_areas(rows, columns, &areas)
}

/// Windows that are the mean over an area, given as (top, left, height, width) in cells.
fn of_areas(rows: usize, columns: usize, areas: &[(usize, usize, usize, usize)]) -> Array2<f32> {
    let mut windows = Array2::zeros((areas.len(), rows * columns));
    for (mut window, &(top, left, height, width)) in windows.rows_mut().into_iter().zip(areas) {
        #[expect(clippy::cast_precision_loss, reason = "at most 4096 cells")]
        let share = 1.0 / (height * width) as f32;
        for row in top..top + height {
            for column in left..left + width {
                window[row * columns + column] = share;
            }
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_takes_each_of_its_cells_alike_and_nothing_else() {
        for (rows, columns) in [(2, 2), (3, 5), (8, 8), (14, 14)] {
            for windows in [whole(rows, columns), halves(rows, columns)] {
                for window in windows.rows() {
                    assert!((window.sum() - 1.0).abs() < 1e-5);
                    let taken: Vec<f32> = window.iter().copied().filter(|share| *share > 0.0).collect();
                    assert!(taken.iter().all(|share| (share - taken[0]).abs() < 1e-9));
                }
            }
        }
    }

    #[test]
    fn the_halves_reach_every_corner_and_leave_no_cell_out() {
        for side in [2, 3, 7, 14, 16] {
            let halves = halves(side, side);
            assert_eq!(halves.nrows(), 16);
            for cell in 0..side * side {
                // An odd side's middle is covered because windows overlap; a side of three has single cells.
                assert!(halves.column(cell).sum() > 0.0, "cell {cell} of {side}x{side}");
            }
        }
    }
}
