from twisted.application import service
from twisted.internet import reactor


def late():
    import xml.dom.minidom


reactor.callLater(0.1, late)
application = service.Application("app")
