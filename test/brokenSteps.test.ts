import { LockRegistry } from "effect-locks"
import { brokenSteps } from "./fixtures/broken.js"
import { catches, catchesNothing } from "./laws/suite.js"

catches(brokenSteps)
catchesNothing(LockRegistry.make)
