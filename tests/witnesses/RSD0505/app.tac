import threading
import time

from twisted.application import service

threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
application = service.Application("demo")
