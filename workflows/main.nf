// From an .h5ad or .h5mu file to a model, an embedding, labels and a table with baselines; as the Snakefile beside it.
//
//   nextflow run workflows/main.nf --source cells.h5mu --labels_key cell_type --batch_key donor --out results
//
// This file has not been run by our tests, which have no Nextflow; the Snakefile has.
nextflow.enable.dsl = 2

params.source = null
params.labels_key = null
params.batch_key = null
params.out = 'results'
params.family = 'OmicsMLM'
params.seed = 0
params.max_epochs = null

process TRAIN {
    publishDir params.out, mode: 'copy'
    cpus 2

    input:
    path source

    output:
    path 'model', emit: model
    path "embedded.${source.extension}", emit: embedded

    script:
    def batch = params.batch_key ? "--batch-key '${params.batch_key}'" : ''
    def epochs = params.max_epochs ? "--max-epochs ${params.max_epochs}" : ''
    """
    omicsmlm train ${source} model --embedded embedded.${source.extension} \\
        --family ${params.family} --seed ${params.seed} ${batch} ${epochs}
    """
}

process ANNOTATE {
    publishDir params.out, mode: 'copy'

    input:
    path source
    path model

    output:
    path 'labels.csv'

    script:
    """
    omicsmlm annotate ${source} ${model} labels.csv --labels-key '${params.labels_key}'
    """
}

process BENCHMARK {
    publishDir params.out, mode: 'copy'

    input:
    path embedded

    output:
    path 'scores.csv'

    script:
    def batch = params.batch_key ? "--batch-key '${params.batch_key}'" : ''
    """
    omicsmlm benchmark ${embedded} --labels-key '${params.labels_key}' ${batch} --out scores.csv
    """
}

workflow {
    if (!params.source || !params.labels_key) {
        error 'name --source and --labels_key'
    }
    source = Channel.fromPath(params.source, checkIfExists: true)
    TRAIN(source)
    ANNOTATE(source, TRAIN.out.model)
    BENCHMARK(TRAIN.out.embedded)
}
