/**
 * What a session is asked about a lock, as expressions of SQL over its number, `key`.
 *
 * Whoever is granted a lock draws a fencing token while it has the lock, in the same
 * expression: CASE evaluates what it returns after its condition. So tokens of one
 * lock grow in the order of its grants, and so they do after a crash of the server,
 * as the sessions commit synchronously. (A sequence is written for 32 values at once: a
 * value that was drawn while that is on its way to the disk may be drawn again.)
 */
export interface Question {
  readonly index: number
  readonly name: string
  readonly sql: string
  /** What to ask when nobody knows whether the server has done it. To unlock is undone by doing it. */
  readonly undo: Question | undefined
}

/** The answer to a question of yes or no. */
export const yes = "true"

export interface Questions {
  /** A token, or null when somebody else is in the way. Whoever waits is not overtaken. */
  readonly tryLock: { readonly exclusive: Question; readonly shared: Question }
  /** A token. */
  readonly lock: { readonly exclusive: Question; readonly shared: Question }
  /** Was it locked? */
  readonly unlock: { readonly exclusive: Question; readonly shared: Question }
  /** Locks it shared besides; who has it exclusively does not wait. */
  readonly share: Question
  /** May one more reader join those that have it, or does somebody wait for them to leave? Null then. Locks nothing. */
  readonly join: Question
  /** A token for one more who has the same lock. */
  readonly draw: Question
  /** Unlocks all. */
  readonly clear: Question
  /** Is it there? */
  readonly ping: Question
  /** Does the process of the server of which `key` is the number wait for a lock? Null if not. */
  readonly awaits: Question
  readonly all: ReadonlyArray<Question>
}

/** `sequence` is a name in SQL. */
export const make = (sequence: string): Questions => {
  const all: Array<Question> = []
  const question = (name: string, sql: string, undo?: Question | "itself"): Question => {
    const made = { index: all.length, name: `effect_locks_${name}`, sql, undo: undefined as Question | undefined }
    made.undo = undo === "itself" ? made : undo
    all.push(made)
    return made
  }
  const token = `nextval('${sequence.replaceAll("'", "''")}')::text`
  const when = (condition: string, then = token) => `CASE WHEN ${condition} THEN ${then} END`
  /** Of a function that returns nothing. */
  const done = (call: string) => `${call}::text = ''`
  const unlock = {
    exclusive: question("unlock", "pg_advisory_unlock(key)::text", "itself"),
    shared: question("unlock_shared", "pg_advisory_unlock_shared(key)::text", "itself")
  }
  // Whoever waits does so without a limit; the other statements of a session have one.
  const patiently = (sql: string) => when("set_config('lock_timeout', '0', true) = '0'", sql)
  return {
    tryLock: {
      exclusive: question("try_lock", when("pg_try_advisory_lock(key)"), unlock.exclusive),
      shared: question("try_lock_shared", when("pg_try_advisory_lock_shared(key)"), unlock.shared)
    },
    lock: {
      exclusive: question("lock", patiently(when(done("pg_advisory_lock(key)")))),
      shared: question("lock_shared", patiently(when(done("pg_advisory_lock_shared(key)"))))
    },
    unlock,
    share: question("share", when(done("pg_advisory_lock_shared(key)"), "''"), unlock.shared),
    join: question(
      "join",
      when("pg_try_advisory_lock_shared(key)", "pg_advisory_unlock_shared(key)::text"),
      unlock.shared
    ),
    draw: question("draw", when("key IS NOT NULL")),
    clear: question("clear", when(done("pg_advisory_unlock_all()"), "''")),
    ping: question("ping", "''"),
    awaits: question(
      "awaits",
      when("EXISTS (SELECT FROM pg_locks WHERE pid = key AND locktype = 'advisory' AND NOT granted)", "''")
    ),
    all
  }
}

/** A statement that asks one question. */
export const one = ({ name, sql }: Question, key: string) => ({
  name,
  text: `SELECT ${sql} FROM (SELECT $1::bigint AS key) AS asked`,
  values: [key]
})

interface Asked {
  readonly question: Question
  readonly key: string
}

const several = (questions: ReadonlyArray<Question>, asked: ReadonlyArray<Asked>) => ({
  text: `SELECT CASE question ${questions.map(({ index, sql }) => `WHEN ${index} THEN ${sql}`).join(" ")} END ` +
    `FROM unnest($1::int[], $2::bigint[]) AS asked(question, key)`,
  values: [`{${asked.map(({ question }) => question.index).join()}}`, `{${asked.map(({ key }) => key).join()}}`]
})

/** A statement that asks several, and gives a row for each, in order. */
export const many = ({ all }: Questions, asked: ReadonlyArray<Asked>) => ({
  name: "effect_locks_many",
  ...several(all, asked)
})

/** The same of questions that unlock. It names nothing else, such as a sequence that may be gone. */
export const undoing = ({ unlock }: Questions, asked: ReadonlyArray<Asked>) => ({
  name: "effect_locks_undo",
  ...several(Object.values(unlock), asked)
})
