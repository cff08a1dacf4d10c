import { createSocket } from 'node:dgram';
import { getServers } from 'node:dns';
import {
  answers,
  isQuery,
  RCODE_REFUSED,
  RCODE_SERVFAIL,
  readAddresses,
  readQuestion,
  refusal,
} from './dns-message.ts';
import type { EgressPolicy } from './egress-policy.ts';

/** Queries under way; more are lost, and asked again by their programs. */
const QUERIES_MAX = 256;
/** How long one server may take. */
const TIMEOUT_MS = 4000;
const SERVERS_MAX = 4;

export interface DnsServer {
  readonly address: string;
  readonly port: number;
}

/** The DNS servers of the host. */
export function hostServers(): DnsServer[] {
  return getServers().map((text) => {
    const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text);
    return { address: match?.[1] ?? match?.[2] ?? text, port: Number(match?.[3] ?? 53) };
  });
}

/**
 * Answers the guest's DNS queries from the host's servers, as far as the policy lets names through, and tells the
 * policy what addresses they have. Only these answers count: the guest cannot bring its own.
 */
export class DnsService {
  readonly #policy: EgressPolicy;
  readonly #servers: () => readonly DnsServer[];
  readonly #open = new Set<() => void>();

  constructor(policy: EgressPolicy, servers: () => readonly DnsServer[]) {
    this.#policy = policy;
    this.#servers = servers;
  }

  /**
   * @param first a server to ask before all others
   * @param reply called at most once, in a later turn
   */
  query(message: Uint8Array, reply: (answer: Uint8Array) => void, first?: DnsServer): void {
    const question = readQuestion(message);
    if (!isQuery(message) || this.#open.size >= QUERIES_MAX) return;
    if (question === undefined || !this.#permits(question.name)) {
      queueMicrotask(() => reply(refusal(message, RCODE_REFUSED)));
      return;
    }
    const servers = [...(first === undefined ? [] : [first]), ...this.#servers()].slice(0, SERVERS_MAX);
    this.#ask(message, servers, (answer) => {
      for (const { ip, ttlSeconds } of readAddresses(answer)) {
        this.#policy.learn(question.name, ip, ttlSeconds);
      }
      reply(answer);
    });
  }

  close(): void {
    for (const cancel of this.#open) cancel();
    this.#open.clear();
  }

  #permits(name: string): boolean {
    return !this.#policy.hasNames || this.#policy.allowsName(name);
  }

  /** Asks one server after the other, each from a port of its own. */
  #ask(message: Uint8Array, servers: readonly DnsServer[], done: (answer: Uint8Array) => void): void {
    const [server, ...others] = servers;
    if (server === undefined) {
      queueMicrotask(() => done(refusal(message, RCODE_SERVFAIL)));
      return;
    }
    const socket = createSocket(server.address.includes(':') ? 'udp6' : 'udp4');
    let over = false;
    const cancel = (): void => {
      clearTimeout(timer);
      this.#open.delete(cancel);
      over = true; // listeners stay: a socket that is not bound yet closes by way of its own
      socket.close();
    };
    const next = (): void => {
      if (over) return;
      cancel();
      this.#ask(message, others, done);
    };
    const timer = setTimeout(next, TIMEOUT_MS);
    this.#open.add(cancel);
    socket.on('error', next);
    socket.on('message', (answer) => {
      if (over || !answers(answer, message)) return;
      cancel();
      done(answer);
    });
    // Connected: nobody else's datagrams arrive, and a closed port is known at once.
    socket.connect(server.port, server.address, (error?: Error) => {
      if (error) next();
      else if (!over) socket.send(message);
    });
  }
}
