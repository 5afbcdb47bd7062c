/** One run of uv or pip in an installer sandbox: an install, a query of what is installed, or a resolution. */
import { ArgyleError } from '../../errors';
import type { InstallerBoot, InstallerSandbox, InstallResult } from '../../sandbox/types';
import type { DiskWatch } from './disk-watch';
import { withoutCredentials } from './pip-config';
import { type IndexSource, type Pin, pipArgv, pipEnv, SANDBOX_PYTHON, TARGET, type Tool, uvArgv, uvEnv } from './tools';

/** Maximum number of characters of a tool's output in an error. */
const OUTPUT_TAIL = 2000;
/** The host's certificates in every base. pip finds them by itself; uv would use its own. */
const SANDBOX_CERTS = '/etc/ssl/certs/ca-certificates.crt';
/** Path of a tool's input, in the sandbox's memory. */
const INPUT_FILE = '/tmp/pin.txt';
/** The guest's exit code for a tool that the base lacks. */
const NO_TOOL = 127;

/** Errors of uv after which neither a retry nor another tool can help. */
const FINAL = [
  /No solution found|not found in the package registry|no version of|no versions of/i,
  /Hash mismatch|THESE PACKAGES DO NOT MATCH/i,
  /HTTP status (client|server) error|Failed to fetch|error sending request|Request failed/i,
];

export interface StepOptions {
  sandbox: InstallerSandbox;
  disk: DiskWatch;
  source: () => Promise<IndexSource>;
  /** The first tool to try. */
  tool: Tool;
}

export class InstallSteps {
  /** Becomes pip when the base has no uv. */
  private tool: Tool;

  /** The first tool to try. */
  get first(): Tool {
    return this.tool;
  }

  constructor(private readonly options: StepOptions) {
    this.tool = options.tool;
  }

  /**
   * Installs a pin into the staging directory `stage` below Pkgs_dir. Uses uv. Uses pip when the base has no uv, and
   * after a failure of uv that pip may avoid.
   * @throws ArgyleError INSTALL_FAILED when the tools fail; errors of the sandbox
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
      else if (result.ok || isFinal(result.output, source)) return result;
    }
    return this.run({ ...common, tool: 'pip', argv: pipArgv(pin, source.mirror, file), env: pipEnv(source) }, stage);
  }

  /** Returns the metadata of the packages installed at `target`. @throws as install() */
  describe(spec: string, stage: string, target: string): Promise<InstallResult> {
    return this.run({ role: 'installer', spec, argv: [], env: {}, target }, stage);
  }

  /**
   * Runs any boot document.
   *
   * POLICY: a package's set-up code must not read the credentials of a netrc file. uv reads them from a pipe before it
   * builds anything, and the pipe is then closed. pip reads them from a file, so it runs without builds while the file
   * exists. If that fails, pip runs again without the file.
   * @throws ArgyleError INSTALL_FAILED; errors of the sandbox
   */
  async run(boot: InstallerBoot, stage: string): Promise<InstallResult> {
    const { netrc = '' } = boot.argv.length === 0 ? {} : await this.options.source();
    if (netrc === '') return this.once(boot, stage);
    const only = boot.tool === 'uv' ? {} : { PIP_ONLY_BINARY: ':all:', PIP_NO_BINARY: '' };
    const first = await this.once({ ...boot, netrc, env: { ...boot.env, ...only } }, stage);
    if (first.ok || boot.tool === 'uv') return first;
    const second = await this.once(boot, stage);
    return second.ok ? second : { ...second, output: `${first.output}\n${second.output}` };
  }

  private async once(boot: InstallerBoot, stage: string): Promise<InstallResult> {
    // Both tools unpack in TMPDIR and move the result. On the target's own disk, that costs no memory and no copy.
    const cert = boot.tool === 'uv' ? { SSL_CERT_FILE: SANDBOX_CERTS } : {};
    const withTmp = { ...boot, env: { ...cert, ...boot.env, TMPDIR: TARGET } };
    try {
      return await this.options.disk.during((signal) => this.options.sandbox.run(withTmp, stage, { signal }));
    } catch (error) {
      throw error instanceof ArgyleError ? error : failure(boot.spec, reasonOf(error), '', error);
    }
  }
}

/**
 * Whether pip would fail as well, without a better message. A failed build is not final, since pip may use an installed
 * package where uv asks the index for it. An error with several indexes is not final, since pip reports which one
 * refused.
 */
function isFinal(output: string, { mirror, env }: IndexSource): boolean {
  if (/Failed to (download and )?build/.test(output)) return false;
  if (mirror === '' && env['PIP_EXTRA_INDEX_URL'] !== undefined && /not found in the package/.test(output))
    return false;
  return FINAL.some((pattern) => pattern.test(output));
}

function hashedLine({ spec, hashes }: Pin): string {
  return `${[spec, ...hashes.map((hash) => `--hash=${hash}`)].join(' ')}\n`;
}

/** The error of an install or a resolution. @param output of the tool */
export function failure(spec: string, why: string, output = '', cause?: unknown): ArgyleError {
  const shown = withoutCredentials(output).trim();
  const tail = shown.length > OUTPUT_TAIL ? `…${shown.slice(-OUTPUT_TAIL)}` : shown;
  const options = { field: 'requirements.txt', value: spec, cause };
  return new ArgyleError('INSTALL_FAILED', `could not install ${spec}: ${why}\n${tail}`.trimEnd(), options);
}

/** The reason of an error. For file system errors, it has no paths of this machine. */
export function reasonOf(error: unknown): string {
  const { syscall, code, message } = error as NodeJS.ErrnoException;
  return syscall === undefined ? message : `${syscall} failed with ${code}`;
}
