# Modules that Twisted imports and hardly an application uses: their code runs when they are first used.
# The module is there as ever, with its spec and its loader; whatever else is asked of it brings it in.
import sys
from types import ModuleType

NAMES = {"http.cookiejar"}
KNOWN = {"__class__", "__file__", "__cached__", "__loader__", "__name__", "__package__", "__spec__"}

bootstrap = sys.modules["_frozen_importlib"]
plain = ModuleType.__getattribute__
waiting, arriving = [], set()


class Later(ModuleType):
    def __getattribute__(self, name):
        if name not in KNOWN:
            arrive(self)
        return plain(self, name)

    def __setattr__(self, name, value):
        arrive(self)
        ModuleType.__setattr__(self, name, value)

    def __delattr__(self, name):
        arrive(self)
        ModuleType.__delattr__(self, name)


def arrive(module):
    """Runs the module's code; other threads wait as for any import, and a failure may be tried again."""
    name = plain(module, "__name__")
    with bootstrap._ModuleLockManager(name):
        # Of that very name: it asks itself while its code runs.
        if type(module) is not Later or name in arriving:
            return
        loader = plain(module, "__spec__").loader
        arriving.add(name)
        try:
            type(loader).exec_module(loader, module)
            ModuleType.__setattr__(module, "__class__", ModuleType)
        finally:
            arriving.discard(name)
    vars(loader).pop("exec_module", None)
    waiting.remove(module)


def wait(module):
    waiting.append(module)
    module.__class__ = Later


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in NAMES:
            return None
        NAMES.discard(name)
        spec = bootstrap._find_spec(name, path, target)
        # A loader of another kind may do more than run code.
        if spec is not None and type(spec.loader).__name__ == "SourceFileLoader":
            spec.loader.exec_module = wait
        return spec


def begin():
    sys.meta_path.insert(0, Finder)


def end():
    if Finder in sys.meta_path:
        sys.meta_path.remove(Finder)


def all():
    """Later they may be out of reach."""
    for module in waiting[:]:
        arrive(module)
