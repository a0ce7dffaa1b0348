//! The functions of libpython that are used, under the names they have there.
//!
//! All are exported by every libpython from 3.9 on. No structure of Python's is laid out here but
//! the three that its documentation fixes: `PyStatus`, `PyMethodDef`, `PyObjectArenaAllocator`.

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::path::Path;

/// A Python object. Only the address of one is ever seen.
pub(super) type Object = *mut c_void;

/// How an initialisation went (PEP 587).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Status {
    pub kind: c_int,
    pub function: *const c_char,
    pub message: *const c_char,
    pub exit_code: c_int,
}

/// A function that Python can call.
#[repr(C)]
pub(super) struct Method {
    pub name: *const c_char,
    pub function: unsafe extern "C" fn(Object, Object) -> Object,
    pub flags: c_int,
    pub about: *const c_char,
}

/// Who gives memory to Python's objects.
#[repr(C)]
pub(super) struct Arenas {
    pub context: *mut c_void,
    pub alloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    pub free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
}

// SAFETY: constant text and a function pointer; nothing writes to it.
unsafe impl Sync for Method {}

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions, by their own names.
        #[allow(non_snake_case, missing_docs)]
        pub(super) struct Functions {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            /// Loads the library, for as long as this process lives.
            pub(super) fn load(path: &Path) -> Result<Functions, libloading::Error> {
                // SAFETY: the library that the interpreter itself would load; its initialisers are
                // part of a Python. RTLD_GLOBAL because extension modules look its symbols up there.
                let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }?;
                let functions = Functions {
                    $(
                        // SAFETY: the signature is that of Python's documentation, the same in all
                        // versions that are hosted.
                        $name: unsafe { *library.get(concat!(stringify!($name), "\0").as_bytes())? },
                    )*
                };
                // Python cannot be unloaded.
                std::mem::forget(library);
                Ok(functions)
            }
        }
    };
}

functions! {
    Py_GetVersion: fn() -> *const c_char;
    PyObject_SetArenaAllocator: fn(*const Arenas);
    PyConfig_InitPythonConfig: fn(*mut c_void);
    PyConfig_SetBytesArgv: fn(*mut c_void, isize, *const *const c_char) -> Status;
    Py_InitializeFromConfig: fn(*mut c_void) -> Status;
    PyConfig_Clear: fn(*mut c_void);
    PyImport_AddModule: fn(*const c_char) -> Object;
    PyModule_GetDict: fn(Object) -> Object;
    PyDict_GetItemString: fn(Object, *const c_char) -> Object;
    PyDict_SetItemString: fn(Object, *const c_char, Object) -> c_int;
    PyEval_GetBuiltins: fn() -> Object;
    Py_CompileString: fn(*const c_char, *const c_char, c_int) -> Object;
    PyEval_EvalCode: fn(Object, Object, Object) -> Object;
    PyObject_CallObject: fn(Object, Object) -> Object;
    PyTuple_New: fn(isize) -> Object;
    PyTuple_SetItem: fn(Object, isize, Object) -> c_int;
    PyUnicode_FromStringAndSize: fn(*const c_char, isize) -> Object;
    PyUnicode_AsUTF8AndSize: fn(Object, *mut isize) -> *const c_char;
    PyUnicode_AsEncodedString: fn(Object, *const c_char, *const c_char) -> Object;
    PyBytes_AsStringAndSize: fn(Object, *mut *mut c_char, *mut isize) -> c_int;
    PyLong_FromLong: fn(c_long) -> Object;
    PyCFunction_NewEx: fn(*const Method, Object, Object) -> Object;
    PyErr_Print: fn();
    PyErr_Clear: fn();
    Py_IncRef: fn(Object);
    Py_DecRef: fn(Object);
    PyEval_SaveThread: fn() -> *mut c_void;
    PyEval_RestoreThread: fn(*mut c_void);
    PyOS_BeforeFork: fn();
    PyOS_AfterFork_Parent: fn();
    PyOS_AfterFork_Child: fn();
}

/// Text that Python owns and keeps.
pub(super) fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: constant, NUL-terminated text inside the library (`Py_GetVersion`, `PyStatus`).
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
