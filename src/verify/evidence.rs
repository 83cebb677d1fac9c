//! What was found where a stored picture lies over the one in question.

macro_rules! evidence {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What was found of one aligned pair of pictures. Lengths are in units of the longer side, angles in degrees,
        /// shares and probabilities in 0..=1.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct Evidence {
            $($(#[$doc])* pub $name: f32,)+
        }

        impl Evidence {
            /// Names of the fields, in the order of [`Evidence::values`].
            pub const NAMES: [&str; [$(stringify!($name)),+].len()] = [$(stringify!($name)),+];

            /// All fields, for training and calibration.
            #[must_use]
            pub fn values(&self) -> [f32; Self::NAMES.len()] {
                [$(self.$name),+]
            }
        }
    };
}

evidence! {
    /// Pairs of corners that agree with the alignment.
    inliers,
    /// The same, as a share of the query's corners inside the overlap.
    inlier_share,
    /// Share of the stored picture that the query shows.
    overlap_stored,
    /// Share of the query that the stored picture covers.
    overlap_query,
    /// Size of the stored picture in the query.
    scale,
    /// How far the stored picture is turned in the query, either way, 0 to 180.
    turn_degrees,
    /// 1 when mirrored.
    mirrored,
    /// Correlation of the brightness.
    likeness,
    /// What of the overlap shows something, as a share of the stored picture: here in it.
    content_stored,
    /// In the query.
    content_query,
    /// In both.
    content_both,
    /// The share of the places in sight that have the colour of the stored picture, after one gain and offset of each
    /// channel.
    colour_agreement,
    /// The pair judge's probabilities: the same picture ...
    same,
    /// ... the same goods in another colour, in whole or in part ...
    other_colour,
    /// ... with another print or other words ...
    other_print,
    /// ... other goods. All four add up to 1.
    other_goods,
    /// How far the query's colour differs from the stored picture's where that shows nothing but its ground, as a multiple of
    /// what would show on it.
    ground_change,
}

impl Evidence {
    /// Whether all of one picture lies on all of the other, neither turned nor mirrored.
    #[must_use]
    pub fn is_whole_on_whole(&self) -> bool {
        self.mirrored < 0.5 && self.covers_whole()
    }

    /// Whether all of one picture, or of its mirror image, lies on all of the other, not turned.
    #[must_use]
    pub fn covers_whole(&self) -> bool {
        self.overlap_stored > 0.97
            && self.overlap_query > 0.97
            && (self.scale - 1.0).abs() < 0.02
            && self.turn_degrees < 1.0
    }
}
