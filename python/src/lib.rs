//! The native part of the Python package `tongkuan`. What users see of it is written in Python, in `python/tongkuan`.

mod batch;
mod engine;
mod error;
mod picture;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    error::register(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<engine::NativeEngine>()?;
    module.add_class::<batch::Batch>()?;
    module.add_function(wrap_pyfunction!(picture::encode_png, module)?)
}
