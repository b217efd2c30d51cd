import { brokenProtocols } from "./fixtures/broken.js"
import { catches } from "./laws/suite.js"

catches(brokenProtocols)
