/** One run of uv or pip in an installer sandbox: an install, a look at what is installed, or a resolution. */
import { ArgyleError } from '../errors';
import type { InstallerBoot, InstallerSandbox, InstallResult } from '../sandbox/types';
import type { DiskWatch } from './disk-watch';
import { type IndexSource, type Pin, pipArgv, pipEnv, SANDBOX_PYTHON, TARGET, type Tool, uvArgv, uvEnv } from './tools';

/** Characters of a tool's output that an error carries. */
const OUTPUT_TAIL = 2000;
/** Every base has the certificates of the host here; uv would trust its own, and pip finds these by itself. */
const SANDBOX_CERTS = '/etc/ssl/certs/ca-certificates.crt';
/** Where a tool's input lies: memory of its sandbox. */
const INPUT_FILE = '/tmp/pin.txt';
/** The guest's code for a tool that its base has not. */
const NO_TOOL = 127;

/** What uv says when another try, or another tool, can't help. */
const FINAL = [
  /No solution found|not found in the package registry|no version of|no versions of/i,
  /Hash mismatch|THESE PACKAGES DO NOT MATCH/i,
  /HTTP status (client|server) error|Failed to fetch|error sending request|Request failed/i,
];

export interface StepOptions {
  sandbox: InstallerSandbox;
  disk: DiskWatch;
  source: () => Promise<IndexSource>;
  /** The tool that is tried first. */
  tool: Tool;
}

export class InstallSteps {
  /** pip once the base turned out to have no uv. */
  private tool: Tool;

  /** The tool that is tried first. */
  get first(): Tool {
    return this.tool;
  }

  constructor(private readonly options: StepOptions) {
    this.tool = options.tool;
  }

  /**
   * Installs a pin into the staging directory `stage` below Pkgs_dir, with uv, or with pip where there is no uv or it
   * fails in a way that pip may not.
   * @throws ArgyleError INSTALL_FAILED without the tools' success; what the sandbox throws
   */
  async install(pin: Pin, stage: string): Promise<InstallResult> {
    const source = await this.options.source();
    const files = pin.hashes.length === 0 ? {} : { files: { [INPUT_FILE]: hashedLine(pin) } };
    const file = pin.hashes.length === 0 ? undefined : INPUT_FILE;
    const common = { role: 'installer', spec: pin.spec, target: TARGET, ...files } as const;
    if (this.tool === 'uv') {
      const argv = uvArgv(pin, SANDBOX_PYTHON, file);
      const result = await this.run({ ...common, tool: 'uv', argv, env: uvEnv(source) }, stage);
      if (result.code === NO_TOOL) this.tool = 'pip';
      else if (result.ok || isFinal(result.output)) return result;
    }
    return this.run({ ...common, tool: 'pip', argv: pipArgv(pin, source.mirror, file), env: pipEnv(source) }, stage);
  }

  /** Asks for the metadata of what is installed at `target`. @throws as install() */
  describe(spec: string, stage: string, target: string): Promise<InstallResult> {
    return this.run({ role: 'installer', spec, argv: [], env: {}, target }, stage);
  }

  /** Runs any boot document. @throws ArgyleError INSTALL_FAILED, and what the sandbox throws */
  async run(boot: InstallerBoot, stage: string): Promise<InstallResult> {
    // Both unpack in TMPDIR and move the result: on the target's own disk that costs no memory and no copy.
    const cert = boot.tool === 'uv' ? { SSL_CERT_FILE: SANDBOX_CERTS } : {};
    const withTmp = { ...boot, env: { ...cert, ...boot.env, TMPDIR: TARGET } };
    try {
      return await this.options.disk.during((signal) => this.options.sandbox.run(withTmp, stage, { signal }));
    } catch (error) {
      throw error instanceof ArgyleError ? error : failure(boot.spec, reasonOf(error), '', error);
    }
  }
}

/** Whether pip would fail as well. A build may need what uv looks for in the index and pip finds installed. */
function isFinal(output: string): boolean {
  return FINAL.some((pattern) => pattern.test(output)) && !/Failed to (download and )?build/.test(output);
}

function hashedLine({ spec, hashes }: Pin): string {
  return `${[spec, ...hashes.map((hash) => `--hash=${hash}`)].join(' ')}\n`;
}

/** The error of an install or a resolution; `output` is the tool's. */
export function failure(spec: string, why: string, output = '', cause?: unknown): ArgyleError {
  // Credentials of an index stand in URLs.
  const shown = output.replace(/\/\/[^\s/@]*@/g, '//****@').trim();
  const tail = shown.length > OUTPUT_TAIL ? `…${shown.slice(-OUTPUT_TAIL)}` : shown;
  const options = { field: 'requirements.txt', value: spec, cause };
  return new ArgyleError('INSTALL_FAILED', `could not install ${spec}: ${why}\n${tail}`.trimEnd(), options);
}

/** Errors of the file system are told without the paths of this machine. */
export function reasonOf(error: unknown): string {
  const { syscall, code, message } = error as NodeJS.ErrnoException;
  return syscall === undefined ? message : `${syscall} failed with ${code}`;
}
