//! A running Python, and the one way to call into it.

use super::Interpreter;
use super::binding::{Functions, Method, Object, text};
use super::memory;
use crate::log::Shared;
use crate::sys::lock;
use engine::effect::SystemError;
use serde::Deserialize;
use serde_json::Value;
use std::cell::Cell;
use std::ffi::{CString, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

const CORE: &str = concat!(include_str!("shim/core.py"), "\0");
const TROUBLE: &str = include_str!("shim/trouble.py");
const WORDS: &str = include_str!("shim/words.py");
const LATER: &str = include_str!("shim/later.py");

/// PyConfig has 360 to 600 bytes, depending on the version, and never a pointer into itself.
const CONFIG: usize = 16 * 1024;
const ONE_ARGUMENT: c_int = 8;
const WHOLE_FILE: c_int = 257;

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
/// rsd itself forks, and Python's hooks run.
static FORKS: AtomicBool = AtomicBool::new(false);
static LOG: Mutex<Option<Shared>> = Mutex::new(None);

/// What Python may ask rsd for while it is called: a text in, a text out.
pub type Ask<'a> = &'a mut dyn FnMut(&str) -> String;

type Asked = *mut dyn FnMut(&str) -> String;

thread_local! {
    /// Who answers `_rsd.host` during a call. Of this thread, so threads of the application have none.
    static ASKED: Cell<Option<Asked>> = const { Cell::new(None) };
}

/// A Python that was initialised in this process. There is at most one.
///
/// Between calls the interpreter lock is let go, so that threads of the application go on.
#[derive(Debug)]
pub struct Python {
    call: Object,
    /// of this thread, while the interpreter lock is let go
    thread: *mut c_void,
    /// the interpreter lock is kept: for a fork, or for good
    kept: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ok(Value),
    Trouble(Box<Trouble>),
}

/// What went wrong in Python, as facts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Trouble {
    /// the type of the exception
    #[serde(rename = "type")]
    pub class: String,
    /// its text
    pub text: String,
    /// refused by rsd itself, for this reason
    pub refused: Option<String>,
    /// what to do, where that is known already
    pub help: Option<String>,
    /// the signal that asked to stop
    pub signal: Option<i32>,
    /// the status that sys.exit was called with
    pub exit: Option<i32>,
    /// the status that os._exit was called with
    pub left: Option<i32>,
    /// where it was: the innermost place in code that is not a library's
    pub file: Option<String>,
    /// the line there
    pub line: Option<u32>,
    /// the text of that line
    pub source: Option<String>,
    /// the encoding that the file is not in
    pub undecodable: Option<String>,
    /// the module that could not be imported
    pub module: Option<String>,
    /// the number that the kernel gave
    pub errno: Option<i32>,
    /// the address that could not be listened on
    pub address: Option<String>,
    /// the file has no variable `application`
    pub no_application: bool,
    /// file, line, function, source; innermost last
    pub frames: Vec<(String, u32, String, String)>,
}

/// Whether a Python was loaded into this process, or into the one that it was forked from.
pub fn is_loaded() -> bool {
    FUNCTIONS.get().is_some()
}

/// Where Python's log lines go from now on.
pub fn log_to(log: Option<Shared>) {
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = log;
}

impl Python {
    /// Loads the library and initialises it as `argv[0]` (the interpreter) would, with the rest as
    /// the command line of a script.
    pub fn start(interpreter: &Interpreter, argv: &[OsString]) -> Result<Python, SystemError> {
        let what = format!("host Python {}", interpreter.program.display());
        if FUNCTIONS.get().is_some() {
            return Err(SystemError::new(format!("{what}: a Python runs in this process already")));
        }
        let loaded = Functions::load(&interpreter.library).map_err(|e| {
            SystemError::new(format!("{what}: load {}: {e}", interpreter.library.display()))
                .help("install the library anew: it must be the one of that Python")
        })?;
        let python = FUNCTIONS.get_or_init(|| loaded);
        // SAFETY: allowed before initialisation (documented).
        let version = text(unsafe { (python.Py_GetVersion)() });
        if !interpreter.is_build(&version) {
            return Err(SystemError::new(format!(
                "{what}: {} is of another build",
                interpreter.library.display()
            ))
            .why(format!("the library is Python {version}, and the program is not"))
            .help("install the library and the interpreter in the same version"));
        }
        memory::prepare(python);
        let arguments: Vec<CString> = argv.iter().filter_map(|a| CString::new(a.as_bytes()).ok()).collect();
        initialise(python, &arguments).map_err(|why| {
            SystemError::new(format!("{what}: it cannot be initialised"))
                .why(why)
                .help("see whether the interpreter itself runs: `python3 -c pass`; look at PYTHONHOME and PYTHONPATH")
        })?;
        let call = shim(python).ok_or_else(|| {
            SystemError::new(format!("{what}: rsd's own part of it cannot be run"))
                .why("what Python said of it is above")
        })?;
        // SAFETY: initialised above, and this thread holds the interpreter lock.
        let thread = unsafe { (python.PyEval_SaveThread)() };
        Ok(Python { call, thread, kept: false })
    }

    /// Calls a phase of the shim. `ask` answers what Python asks for meanwhile.
    pub fn call(&mut self, name: &str, arguments: &Value, ask: Ask) -> Result<Value, Box<Trouble>> {
        let Some(python) = FUNCTIONS.get().filter(|_| !self.kept) else {
            return Err(broken("Python is not in this process any more"));
        };
        let ask: *mut (dyn FnMut(&str) -> String + '_) = ask;
        // SAFETY: only the lifetime changes. The pointer is taken back below, before `ask` ends, and
        // only this thread can see it.
        let ask: *mut (dyn FnMut(&str) -> String + 'static) = unsafe { std::mem::transmute(ask) };
        let before = ASKED.replace(Some(ask));
        // SAFETY: the thread state that was saved on this very thread.
        unsafe { (python.PyEval_RestoreThread)(self.thread) };
        let answer = self.locked(python, name, &arguments.to_string());
        // SAFETY: this thread holds the lock, see above.
        self.thread = unsafe { (python.PyEval_SaveThread)() };
        ASKED.set(before);
        match answer.map(|text| serde_json::from_str(&text)) {
            Some(Ok(Answer::Ok(value))) => Ok(value),
            Some(Ok(Answer::Trouble(trouble))) => Err(trouble),
            Some(Err(e)) => Err(broken(&format!("its answer could not be read: {e}"))),
            None => Err(broken("rsd's own part of it failed; what Python said is on standard error")),
        }
    }

    fn locked(&self, python: &Functions, name: &str, arguments: &str) -> Option<String> {
        // SAFETY: the lock is held; every object is checked before it is used; SetItem takes over
        // the two strings, the tuple and the result are let go.
        unsafe {
            let tuple = (python.PyTuple_New)(2);
            if tuple.is_null() {
                return None;
            }
            for (place, text) in [name, arguments].into_iter().enumerate() {
                let text = new_text(python, text);
                if text.is_null() {
                    (python.PyErr_Print)();
                    (python.Py_DecRef)(tuple);
                    return None;
                }
                (python.PyTuple_SetItem)(tuple, place as isize, text);
            }
            let result = (python.PyObject_CallObject)(self.call, tuple);
            (python.Py_DecRef)(tuple);
            if result.is_null() {
                (python.PyErr_Print)();
                return None;
            }
            let text = with_bytes(python, result, |bytes| String::from_utf8_lossy(bytes).into_owned());
            (python.Py_DecRef)(result);
            text
        }
    }

    /// This process is about to fork: takes the interpreter lock, so that no other thread is inside
    /// Python or writes to the log.
    pub fn before_fork(&mut self) {
        let Some(python) = FUNCTIONS.get().filter(|_| !self.kept) else { return };
        // SAFETY: the thread state that was saved on this thread; then the lock is held, as
        // PyOS_BeforeFork demands.
        unsafe {
            (python.PyEval_RestoreThread)(self.thread);
            FORKS.store(true, Ordering::Relaxed);
            (python.PyOS_BeforeFork)();
        }
        self.kept = true;
    }

    /// It has forked, and Python goes on in this process.
    pub fn after_fork(&mut self, child: bool) {
        let Some(python) = FUNCTIONS.get().filter(|_| self.kept) else { return };
        // SAFETY: the lock is held since `before_fork`, on this thread or the one it was copied from.
        unsafe {
            match child {
                true => (python.PyOS_AfterFork_Child)(),
                false => (python.PyOS_AfterFork_Parent)(),
            }
            FORKS.store(false, Ordering::Relaxed);
            self.thread = (python.PyEval_SaveThread)();
        }
        self.kept = false;
    }

    /// Takes the interpreter lock for good: no thread of the application runs Python any more while
    /// this process goes down.
    pub fn silence(&mut self) {
        if let Some(python) = FUNCTIONS.get().filter(|_| !self.kept) {
            // SAFETY: the thread state that was saved on this thread.
            unsafe { (python.PyEval_RestoreThread)(self.thread) };
            self.kept = true;
        }
    }
}

fn broken(text: &str) -> Box<Trouble> {
    Box::new(Trouble { refused: Some(text.to_owned()), ..Trouble::default() })
}

fn initialise(python: &Functions, arguments: &[CString]) -> Result<(), String> {
    let mut pointers: Vec<*const c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
    let count = pointers.len() as isize;
    pointers.push(std::ptr::null());
    // 16-byte alignment, as malloc gives
    let mut config = vec![0u128; CONFIG / size_of::<u128>()];
    let config: *mut c_void = config.as_mut_ptr().cast();
    // SAFETY: zeroed memory that is larger than any PyConfig and lives until PyConfig_Clear; the
    // arguments live as long and end with a null pointer.
    let status = unsafe {
        (python.PyConfig_InitPythonConfig)(config);
        let mut status = (python.PyConfig_SetBytesArgv)(config, count, pointers.as_ptr());
        if status.kind == 0 {
            status = (python.Py_InitializeFromConfig)(config);
        }
        (python.PyConfig_Clear)(config);
        status
    };
    match status.kind {
        0 => Ok(()),
        2 => Err(format!("it wants to exit with status {}", status.exit_code)),
        _ => Err(format!("{}: {}", text(status.function), text(status.message))),
    }
}

static WRITE: Method =
    Method { name: c"write".as_ptr(), function: write, flags: ONE_ARGUMENT, about: std::ptr::null() };
static HOST: Method =
    Method { name: c"host".as_ptr(), function: host, flags: ONE_ARGUMENT, about: std::ptr::null() };

static FORKED: Method =
    Method { name: c"forked".as_ptr(), function: forked, flags: ONE_ARGUMENT, about: std::ptr::null() };

/// Runs the shim in a module of its own; gives its `call`.
fn shim(python: &Functions) -> Option<Object> {
    // SAFETY: the lock is held since the initialisation; borrowed objects (AddModule, GetDict,
    // GetItemString) belong to modules that are never removed; every result is checked.
    unsafe {
        let module = (python.PyImport_AddModule)(c"_rsd".as_ptr());
        let space = (python.PyImport_AddModule)(c"_rsd_core".as_ptr());
        if module.is_null() || space.is_null() {
            return None;
        }
        let (module_names, names) = ((python.PyModule_GetDict)(module), (python.PyModule_GetDict)(space));
        for (name, method) in [(c"write", &WRITE), (c"host", &HOST), (c"forked", &FORKED)] {
            let function = (python.PyCFunction_NewEx)(method, std::ptr::null_mut(), std::ptr::null_mut());
            if function.is_null() || (python.PyDict_SetItemString)(module_names, name.as_ptr(), function) != 0
            {
                return None;
            }
        }
        (python.PyDict_SetItemString)(names, c"_rsd".as_ptr(), module);
        (python.PyDict_SetItemString)(names, c"__builtins__".as_ptr(), (python.PyEval_GetBuiltins)());
        let code = (python.Py_CompileString)(CORE.as_ptr().cast(), c"<rsd>".as_ptr(), WHOLE_FILE);
        let done = match code.is_null() {
            true => std::ptr::null_mut(),
            false => (python.PyEval_EvalCode)(code, names, names),
        };
        if done.is_null() {
            (python.PyErr_Print)();
            return None;
        }
        let call = (python.PyDict_GetItemString)(names, c"call".as_ptr());
        (!call.is_null()).then(|| {
            (python.Py_IncRef)(call);
            call
        })
    }
}

/// A new reference to a string. Null where memory is out, which Python then reports.
unsafe fn new_text(python: &Functions, text: &str) -> Object {
    // SAFETY: the caller holds the lock; pointer and length are of one string.
    unsafe { (python.PyUnicode_FromStringAndSize)(text.as_ptr().cast(), text.len() as isize) }
}

/// The bytes of a string; lone surrogates, which UTF-8 has no place for, as escapes.
unsafe fn with_bytes<T>(python: &Functions, object: Object, act: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let mut size = 0isize;
    // SAFETY: the caller holds the lock and a reference to `object` for the time of this call; the
    // bytes belong to it, or to `encoded`, which lives until `act` is over.
    unsafe {
        let data = (python.PyUnicode_AsUTF8AndSize)(object, &mut size);
        if !data.is_null() {
            return Some(act(std::slice::from_raw_parts(data.cast(), size as usize)));
        }
        (python.PyErr_Clear)();
        let encoded =
            (python.PyUnicode_AsEncodedString)(object, c"utf-8".as_ptr(), c"backslashreplace".as_ptr());
        if encoded.is_null() {
            (python.PyErr_Clear)();
            return None;
        }
        let mut data: *mut c_char = std::ptr::null_mut();
        let done = match (python.PyBytes_AsStringAndSize)(encoded, &mut data, &mut size) {
            0 => Some(act(std::slice::from_raw_parts(data.cast_const().cast(), size as usize))),
            _ => None,
        };
        (python.Py_DecRef)(encoded);
        done
    }
}

/// `_rsd.write(text)`: appends to the log. Any thread; the interpreter lock is held, so nobody forks.
unsafe extern "C" fn write(_: Object, text: Object) -> Object {
    let Some(python) = FUNCTIONS.get() else { return std::ptr::null_mut() };
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: Python calls this with the lock held and a reference to the argument.
    unsafe {
        with_bytes(python, text, |bytes| {
            if let Some(log) = log.as_ref() {
                log.write(bytes);
            }
        });
        drop(log);
        (python.PyLong_FromLong)(0)
    }
}

/// `_rsd.forked(None)`: this process is a fork; nothing to do where it is rsd that has forked.
unsafe extern "C" fn forked(_: Object, _: Object) -> Object {
    if !FORKS.load(Ordering::Relaxed) {
        lock::let_go_in_fork();
    }
    // SAFETY: Python calls this with the lock held.
    FUNCTIONS.get().map_or(std::ptr::null_mut(), |python| unsafe { (python.PyLong_FromLong)(0) })
}

/// `_rsd.host(text)`: asks whoever made the call that is under way.
unsafe extern "C" fn host(_: Object, text: Object) -> Object {
    let Some(python) = FUNCTIONS.get() else { return std::ptr::null_mut() };
    // SAFETY: Python calls this with the lock held and a reference to the argument. The pointer was
    // left by a `call` on this thread that has not returned, and is away while it is used.
    unsafe {
        let question = with_bytes(python, text, |b| String::from_utf8_lossy(b).into_owned());
        let question = question.unwrap_or_default();
        match question.as_str() {
            "text trouble" => return new_text(python, TROUBLE),
            "text words" => return new_text(python, WORDS),
            "text later" => return new_text(python, LATER),
            _ => {}
        }
        let Some(ask) = ASKED.take() else { return new_text(python, "") };
        let answer = (*ask)(&question);
        ASKED.set(Some(ask));
        new_text(python, &answer)
    }
}
