/** The commands as real processes: bundled once, for all that is said of them. */
import "./docs.ts"
import "./files.ts"
import "./run.ts"
import "./wrapper.ts"
