// The file RUNNING, as src/mosaicflow/engine/running.py writes it: a run that goes on, or was broken
// off, never looks finished. The record of an earlier run is set aside until this one has its own.
def markRunning(folder, started) {
    java.nio.file.Files.createDirectories(folder)
    folder.resolve('RUNNING').text = """\
        started: ${started}
        host: ${java.net.InetAddress.localHost.hostName}
        process: ${ProcessHandle.current().pid()}

        While this file is here the results in this folder are not complete: a run goes on, or was broken
        off. Start it again with the same --output to finish it; what is finished is kept.
        """.stripIndent()
    def record = folder.resolve('pipeline_info/run.json')
    if( record.exists() )
        record.moveTo(folder.resolve('pipeline_info/earlier_run.json'))
}

// The last act. A run without its record has not come to its end, and stays marked.
def unmarkRunning(folder) {
    if( !folder.resolve('pipeline_info/run.json').exists() )
        return
    java.nio.file.Files.deleteIfExists(folder.resolve('pipeline_info/earlier_run.json'))
    java.nio.file.Files.deleteIfExists(folder.resolve('RUNNING'))
}

// Run the user's command at the end, as src/mosaicflow/engine/at_end.py does; that it fails changes nothing.
def tellEnd(command, status, folder) {
    if( !command )
        return
    def told = [
        MOSAICFLOW_STATUS: status, MOSAICFLOW_OUTPUT: folder.toString(),
        MOSAICFLOW_REPORT: status == 'failed' ? '' : "${folder}/report.html".toString()
    ]
    def environment = (System.getenv() + told).collect { name, value -> "${name}=${value}".toString() }
    def task = ['/bin/sh', '-c', command].execute(environment, null)
    task.consumeProcessOutput(System.out, System.err)
    task.waitForOrKill(60000)
    if( task.exitValue() != 0 )
        log.warn "on_end: the command ended with exit code ${task.exitValue()}"
}
