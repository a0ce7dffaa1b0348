import os
from twisted.application import service
from twisted.python import log


class Tells(service.Service):
    def startService(self):
        log.msg("the secret is " + os.environ.get("SECRET", "gone"))


application = service.Application("tells")
Tells().setServiceParent(application)
