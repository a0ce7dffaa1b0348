# A web server, as Twisted's documentation has it. Its port is below 1024: it is bound before the drop.
from twisted.application import service, strports
from twisted.web import resource, server, static

application = service.Application("web")
root = resource.Resource()
root.putChild(b"", static.Data(b"it works\n", "text/plain"))
strports.service("tcp:807:interface=127.0.0.1", server.Site(root)).setServiceParent(application)
