//! What is an error called, whatever its text says? A `snake_case` word for each, for JSON, logs and programs. Words are
//! never renamed or given another meaning; `docs/errors.md` lists them with what to do.
//!
//! The table is here for all modules, so that it can be read at once. A variant without a word does not compile.

use crate::calibration::TooFewPairs;
use crate::cancel::Interrupted;
use crate::catalog::CatalogError;
use crate::embed::runtime::RuntimeError;
use crate::embed::{EmbedError, EmbeddingError, ModelError, UnknownProvider};
use crate::engine::{EngineError, HarvestError, UnknownIndex};
use crate::fetch::FetchError;
use crate::index::{IndexError, LoadError, SaveError};
use crate::offer::{OfferIdError, PriceError, ScoreError};
use crate::photo::PhotoError;
use crate::tensor::TensorError;
use crate::timestamp::TimestampError;
use crate::upstream::{
    GuardError, LedgerError, PrepareError, RegionError, UpstreamError, UpstreamErrorKind, WordError,
};
use crate::verify::{SketchBytesError, SketchError};

/// `of`: variants that hold another error, whose code is theirs.
macro_rules! codes {
    ($($type:ty { $($variant:ident => $code:literal),* $(; of $($holds:ident),+)? })+) => {$(
        impl $type {
            /// The codes of this type's own variants.
            pub const CODES: &[&str] = &[$($code),*];

            /// What kind of error this is, as one `snake_case` word for programs. Words are never renamed.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $code,)*
                    $($(Self::$holds(error) => error.code(),)+)?
                }
            }
        }
    )+};
}

/// Errors of one kind.
macro_rules! code {
    ($($type:ty => $code:literal),+ $(,)?) => {$(
        impl $type {
            /// The code of this type.
            pub const CODES: &[&str] = &[$code];

            /// What kind of error this is, as one `snake_case` word for programs. Words are never renamed.
            #[must_use]
            pub fn code(&self) -> &'static str {
                $code
            }
        }
    )+};
}

code! {
    OfferIdError => "not_an_id",
    PriceError => "not_a_price",
    RegionError => "not_a_region",
    TimestampError => "not_a_time",
    ScoreError => "not_a_score",
    SketchError => "no_sketch",
    TensorError => "no_tensor",
    TooFewPairs => "too_few_pairs",
    UnknownIndex => "unknown_index",
    UnknownProvider => "unknown_provider",
}

codes! {
    WordError {
        Filter => "not_a_filter",
        Sort => "not_an_order",
        Language => "not_a_language",
        Phrase => "not_a_phrase"
    }
    CatalogError {
        Open => "catalog_not_opened",
        Home => "home_unusable",
        TooNew => "catalog_too_new",
        OtherModel => "other_model",
        ModelChanged => "model_changed",
        Damaged => "catalog_damaged",
        TooOldToRead => "catalog_too_old_to_read",
        Journal => "journal_not_written",
        PhotoGone => "photo_gone",
        Sqlite => "catalog_failed",
        DatabaseNotOpened => "database_not_opened",
        DatabaseNotTrusted => "database_not_trusted",
        Database => "database_failed",
        PgvectorUnavailable => "pgvector_unavailable"
    }
    Interrupted {
        Cancelled => "cancelled",
        DeadlinePassed => "deadline_passed"
    }
    crate::catalog::moving::MoveError {
        Exists => "move_exists",
        FolderExists => "move_folder_exists",
        InUse => "home_in_use",
        NotSound => "move_not_sound",
        NoBackup => "move_no_backup",
        Damaged => "move_damaged",
        Line => "import_line",
        File => "import_file",
        CutOff => "import_cut_off",
        TooNew => "import_too_new",
        Io => "move_io",
        NoHome => "move_no_home",
        SameHome => "move_same_home",
        TargetUsed => "move_target_used",
        Unfinished => "move_unfinished",
        Differs => "move_differs",
        Changed => "move_source_changed",
        PhotoNumber => "move_photo_number";
        of Catalog
    }
    EmbedError {
        Load => "model_not_loaded",
        Graph => "model_graph",
        Run => "model_failed",
        Dimension => "model_dimension",
        Cells => "model_cells",
        ProviderUnavailable => "provider_unavailable";
        of Runtime, Model, Embedding
    }
    EmbeddingError {
        Empty => "embedding_empty",
        NotFinite => "embedding_not_finite",
        Zero => "embedding_zero",
        NotStored => "embedding_damaged"
    }
    EngineError {
        Uncalibrated => "uncalibrated",
        NoSuchPhoto => "no_such_photo",
        OtherPicture => "other_picture",
        OnePhoto => "one_photo",
        NoUpstream => "no_upstream",
        Scratch => "scratch_failed";
        of Photo, Tensor, Embed, Index, Sketch, Save, Catalog, TooFewPairs, Prepare, Upstream, Interrupted
    }
    FetchError {
        NotWeb => "address_not_web",
        Port => "address_port",
        NotPublic => "address_not_public",
        Redirects => "too_many_redirects",
        Status => "http_status",
        TooLarge => "download_too_large",
        Failed => "fetch_failed"
    }
    HarvestError { ; of Fetch, Engine }
    IndexError {
        Dimension => "index_dimension",
        Duplicate => "index_duplicate",
        NoPhoto => "index_no_photo",
        Full => "index_full",
        NoMemory => "no_memory",
        Damaged => "index_damaged"
    }
    LedgerError {
        BudgetSpent => "budget_spent",
        Storage => "ledger_failed"
    }
    LoadError {
        Missing => "snapshot_missing",
        Io => "snapshot_not_read",
        Damaged => "snapshot_damaged",
        OtherFormat => "snapshot_format",
        Differs => "snapshot_differs",
        NoMemory => "no_memory"
    }
    ModelError {
        Io => "model_not_read",
        Manifest => "model_manifest",
        Format => "model_format",
        Invalid => "model_invalid",
        Digest => "model_digest"
    }
    PhotoError {
        Empty => "empty",
        TooManyBytes => "too_many_bytes",
        NotAPicture => "not_a_picture",
        UnsupportedFormat => "unsupported_format",
        UnsupportedFeature => "unsupported_feature",
        TooManyPixels => "too_many_pixels",
        TooMuchMemory => "too_much_memory",
        Truncated => "truncated",
        Corrupt => "corrupt",
        DecoderPanicked => "decoder_panicked",
        FileTooLarge => "file_too_large",
        NotAFile => "not_a_file",
        Io => "io"
    }
    PrepareError {
        Empty => "no_pixels",
        TooLarge => "upload_too_large",
        RegionOutside => "region_outside",
        Encode => "upload_not_encoded"
    }
    RuntimeError {
        NotFound => "runtime_not_found",
        VariableNamesNoFile => "runtime_variable",
        Load => "runtime_not_loaded",
        NoPin => "runtime_not_pinned",
        NoPip => "runtime_no_pip",
        Download => "runtime_download",
        Digest => "runtime_digest",
        Wheel => "runtime_wheel",
        Telemetry => "runtime_telemetry",
        Io => "runtime_io"
    }
    SaveError {
        Io => "index_not_saved",
        Damaged => "index_damaged"
    }
    SketchBytesError {
        Format => "sketch_format",
        Damaged => "sketch_damaged"
    }
    UpstreamErrorKind {
        Auth => "upstream_auth",
        Acl => "upstream_acl",
        Signature => "upstream_signature",
        Param => "upstream_param",
        Rate => "upstream_rate",
        Quota => "upstream_quota",
        Image => "upstream_image",
        Unsupported => "upstream_unsupported",
        Transient => "upstream_transient",
        Unreadable => "upstream_unreadable",
        Unreachable => "upstream_unreachable"
    }
}

impl GuardError {
    /// The codes of this type's own variants.
    pub const CODES: &[&str] = &["budget_spent", "too_slow", "breaker_open"];

    /// What kind of error this is, as one `snake_case` word for programs. Words are never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BudgetSpent { .. } => "budget_spent",
            Self::TooSlow { .. } => "too_slow",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Upstream { error, .. } => error.kind.code(),
            Self::Ledger { error, .. } => error.code(),
            Self::Interrupted { reason, .. } => reason.code(),
        }
    }
}

impl UpstreamError {
    /// The codes of its kinds.
    pub const CODES: &[&str] = UpstreamErrorKind::CODES;
}

#[cfg(feature = "config")]
mod config {
    use crate::config::{ConfigError, UnknownProfile};

    code! {
        UnknownProfile => "unknown_upstream",
    }

    codes! {
        ConfigError {
            NoHomeFolder => "no_home_folder",
            RecordAndReplay => "record_and_replay",
            Variable => "variable",
            FileNotRead => "config_not_read",
            FileInvalid => "config_invalid",
            Share => "not_a_share",
            UpstreamOrder => "upstream_order",
            UpstreamTwice => "upstream_twice",
            NoCredentials => "no_credentials",
            NotConfigured => "upstream_not_configured",
            SecretNotRead => "secret_not_read",
            Offline => "offline",
            NoHome => "no_home",
            HomeNotReadable => "home_not_readable";
            of Model, Tape, Fetch, Engine
        }
    }
}

#[cfg(feature = "input")]
mod input {
    use crate::input::{FileProblem, InputError, PriceProblem, ReadProblem, RowProblem, SourceProblem};

    codes! {
        FileProblem {
            Read => "list_not_read",
            TooLarge => "list_too_large",
            RowTooLong => "row_without_end",
            Unclosed => "list_cut_off",
            AfterArray => "list_after_array",
            TooDeep => "list_too_deep",
            TooManyColumns => "too_many_columns",
            ColumnTwice => "column_twice",
            NoPictureColumn => "no_picture_column",
            NoSuchColumn => "no_such_column",
            Parquet => "parquet_damaged",
            Table => "table_not_read",
            Archive => "archive_damaged",
            ArchiveCut => "archive_cut_off",
            TooManyMembers => "archive_too_many_files",
            Encrypted => "archive_encrypted",
            UnpacksTooLarge => "archive_too_large",
            SeveralLists => "archive_several_lists",
            Spreadsheet => "spreadsheet",
            ArchivesInFolder => "archives_in_folder",
            Found => "not_a_list";
            of Source, Photo
        }
        InputError { ; of Row, File, Read }
        PriceProblem {
            Range => "price_range",
            Currency => "price_currency",
            Number => "price_not_a_number";
            of Price
        }
        ReadProblem {
            Member => "member_not_read",
            TooLarge => "member_too_large",
            NotLocal => "not_local";
            of Photo
        }
        RowProblem {
            Json => "row_json",
            Damaged => "row_damaged",
            SampleJson => "sample_json",
            Field => "row_field",
            Price => "row_price",
            NoPicture => "row_no_picture",
            NoColumn => "row_no_column",
            EmptyPicture => "row_empty_picture",
            Rounded => "row_rounded_id",
            Picture => "row_picture_name",
            Columns => "row_columns",
            OpenQuote => "row_open_quote",
            TooLong => "row_too_long"
        }
        SourceProblem {
            Empty => "name_empty",
            Scheme => "address_scheme",
            FileAddress => "address_of_file",
            Address => "address_invalid",
            Credentials => "address_credentials",
            Data => "address_data",
            Nul => "name_with_zero_byte",
            NotInArchive => "not_in_archive"
        }
    }
}

#[cfg(feature = "upstream")]
codes! {
    crate::upstream::TapeError {
        Create => "recording_not_made",
        Read => "recording_not_read",
        TooLong => "recording_too_long",
        Line => "recording_line"
    }
}

#[cfg(feature = "serve")]
mod serve {
    use crate::serve::{RequestError, RightsError, ServeError, ServeStoreError};

    code! { RightsError => "not_a_right" }

    codes! {
        RequestError {
            Invalid => "request_invalid",
            NoSuchPath => "no_such_path",
            Method => "method_not_allowed",
            TooLarge => "request_too_large",
            TooSlow => "request_too_slow",
            MediaType => "media_type",
            Overloaded => "overloaded",
            RateLimited => "rate_limited",
            TimedOut => "timed_out",
            Draining => "draining",
            KeyMissing => "key_missing",
            KeyUnknown => "key_unknown",
            Forbidden => "key_forbidden",
            Host => "host_refused",
            Origin => "origin_refused",
            IdempotencyReused => "idempotency_reused",
            IdempotencyRunning => "idempotency_running",
            IdempotencyUnknown => "idempotency_unknown",
            AddNotAllowed => "add_not_allowed",
            PathOutside => "path_outside",
            NoSuchOffer => "no_such_offer",
            NoSuchReview => "no_such_review",
            NoThumbnail => "no_thumbnail",
            Panicked => "internal"
        }
        ServeError {
            NeedsKeys => "serve_needs_keys",
            Listen => "serve_cannot_listen";
            of Store
        }
        ServeStoreError {
            Open => "serve_file_not_opened",
            TooNew => "serve_file_too_new",
            Sqlite => "serve_file_failed",
            NameTaken => "key_name_taken",
            NoSuchKey => "no_such_key",
            KeyLine => "key_line"
        }
    }
}

#[cfg(feature = "mcp")]
codes! {
    crate::serve::McpError {
        Root => "mcp_root",
        Protocol => "mcp_protocol",
        Runtime => "mcp_runtime";
        of Store
    }
}

#[cfg(feature = "scan")]
codes! {
    crate::scan::ScanError {
        Folder => "scan_folder",
        Home => "scan_home",
        Busy => "scan_busy",
        OtherFolder => "scan_other_folder",
        State => "scan_state",
        Write => "scan_not_written",
        Manifest => "scan_manifest";
        of Engine
    }
}

#[cfg(feature = "sheet")]
codes! {
    crate::sheet::SheetError {
        Write => "sheet_not_written",
        TooManyRows => "sheet_too_long",
        Workbook => "workbook_failed"
    }
}

#[cfg(feature = "sandbox")]
mod sandbox {
    use crate::sandbox::{FaultError, SandboxError, ViewError};

    code! { ViewError => "unknown_view" }

    codes! {
        FaultError {
            Unknown => "unknown_fault",
            Share => "fault_share",
            TooMany => "fault_shares"
        }
        SandboxError {
            NotLoopback => "sandbox_not_loopback",
            Listen => "sandbox_cannot_listen"
        }
    }
}

#[cfg(feature = "eval")]
mod eval {
    use crate::eval::{BadLine, EvalError, LabelProblem, LineProblem};

    codes! {
        EvalError {
            Read => "eval_not_read",
            Write => "eval_not_written",
            TooManyRows => "manifest_too_many_rows",
            MostlyBad => "manifest_mostly_bad",
            MostlyUnreadable => "pictures_mostly_bad",
            Nothing => "manifest_lacks_role",
            TooFewPictures => "too_few_pictures",
            NotEmpty => "folder_not_empty",
            Input => "manifest_not_a_list",
            Label => "label";
            of Engine
        }
        LabelProblem {
            Json => "label_json",
            Unknown => "label_field",
            NoSuchPicture => "label_no_such_picture",
            Twice => "label_twice",
            TwoFamilies => "label_two_families"
        }
        LineProblem {
            Json => "line_json",
            NoItem => "line_no_item",
            NegativeReference => "line_negative_reference",
            NegativeStored => "line_negative_stored";
            of Row, Source, Photo, Read, Engine, Number
        }
    }

    impl BadLine {
        /// The codes of what may be wrong.
        pub const CODES: &[&str] = LineProblem::CODES;

        /// That of what is wrong with the line.
        #[must_use]
        pub fn code(&self) -> &'static str {
            self.problem.code()
        }
    }
}
