/** What the tests and their worker processes say to each other. */

/** How a worker gets its locks. */
export interface Terms {
  readonly url: string
  /** As its sessions are called. */
  readonly application: string
  readonly layer: "session" | "lease"
  /** Milliseconds. */
  readonly silence: number
  readonly connectTimeout: number
}

/** What the body of a hold does next. */
export type Order =
  | { readonly do: "let go" }
  /** Writes what it protects. */
  | { readonly do: "write" }
  /** Stands still with all of its process until the file is there, and writes then, before it can hear of anything. */
  | { readonly do: "block"; readonly until: string }

export interface Ask {
  readonly key: string
  readonly mode?: "exclusive" | "shared"
  readonly blocking?: false
  readonly timeout?: number
  /** By `withLock`, which tells no token. @default by `lock` */
  readonly guarded?: true
}

export type Command =
  | { readonly do: "hold"; readonly id: number; readonly ask: Ask }
  | { readonly do: "order"; readonly id: number; readonly order: Order }
  /** Holds it again and again, and tells all of that at the end. */
  | { readonly do: "repeat"; readonly id: number; readonly ask: Ask; readonly times: number }
  /**
   * As many as it says wait, each on its own, until this is let go; then each gives up at some time within these
   * milliseconds. Who is granted it holds it for a moment.
   */
  | { readonly do: "storm"; readonly id: number; readonly ask: Ask; readonly fibers: number; readonly within: number }
  | { readonly do: "stop" }

/** Why something ended. */
export interface Why {
  readonly tag: string
  readonly reason: string | undefined
  readonly message: string
}

export interface Visit {
  readonly entered: number
  readonly left: number
  readonly token: string
}

export type Saying =
  /** The layer is there. */
  | { readonly say: "ready" }
  | { readonly say: "refused"; readonly why: Why }
  | { readonly say: "granted"; readonly id: number; readonly at: number; readonly token: string | undefined }
  | { readonly say: "write"; readonly id: number; readonly at: number }
  | { readonly say: "blocked"; readonly id: number; readonly at: number }
  /** Its body is not at work any more. It was told of a loss if there is a reason, and `late` is how slow it was lately. */
  | {
    readonly say: "out"
    readonly id: number
    readonly at: number
    readonly lost: string | undefined
    readonly late: number
  }
  | { readonly say: "over"; readonly id: number; readonly at: number; readonly why: Why | undefined }
  | { readonly say: "visits"; readonly id: number; readonly visits: ReadonlyArray<Visit> }
  | {
    readonly say: "stormed"
    readonly id: number
    readonly visits: ReadonlyArray<Visit>
    readonly failures: ReadonlyArray<Why>
  }

/** Milliseconds of a clock that all processes of the machine share. */
export const clock = (): number => Number(process.hrtime.bigint()) / 1e6
