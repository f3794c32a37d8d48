"""The targets: tables, figures and studies that one can ask for by name, and what each is made of.

A target is a row here and a function `make(results, selection) -> Made` in fig/report/targets.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fig.study.selection import Selection

TABLE_SUFFIXES = (".csv", ".md", ".tex", ".html")
FIGURE_SUFFIXES = (".png", ".csv")


@dataclass(frozen=True)
class Target:
    """A target: who makes it, what it shows, and what it needs of every discriminator that it shows."""

    name: str
    module: str  # of fig.report.targets
    title: str
    caption: str  # what one has to know to read it
    reading: str = ""  # what a reader may conclude from it, in a sentence
    table: bool = False  # whether it makes tables/<name>.{csv,md,tex,html}
    figure: bool = False  # whether it makes figures/<name>.{png,csv}
    function: str = "make"
    needs: tuple[str, ...] = ("metrics.csv",)  # files of each discriminator
    shows: tuple[str, ...] = ()  # it shows the studies that name one of these targets; none: those that name itself
    whole_run: bool = False  # it shows every study, and needs not be named
    first_seed: bool = False  # it shows the first seed alone
    throughput: bool = False  # it needs results/<run>/throughput/<ID data set>/<network>.json instead
    images: bool = False  # it needs the prepared test images too
    over_standard: bool = False  # it shows gains over standard, which its studies must name
    by_group: bool = False  # it shows means over groups of OOD sets, which its studies must state
    over_controls: bool = False  # it compares variants with their controls, which its studies must state

    @property
    def named_by(self) -> tuple[str, ...]:
        """The names under `targets` of a study by which the study is shown."""
        return self.shows or (self.name,)

    @property
    def record(self) -> str:
        """Its record, below the run's folder."""
        return f"{'tables' if self.table else 'figures'}/{self.name}.record.json"

    def outputs(self) -> list[str]:
        """The files that it makes, below the run's folder."""
        tables = [f"tables/{self.name}{suffix}" for suffix in TABLE_SUFFIXES]
        figures = [f"figures/{self.name}{suffix}" for suffix in FIGURE_SUFFIXES]
        return tables * self.table + figures * self.figure

    def files(self, selection: Selection) -> Iterator[str]:
        """The files that it reads, below the run's folder."""
        for name in self.needs:
            yield from selection.files(name)
        if self.throughput:
            places = dict.fromkeys(key[:2] for key in selection.list_keys())
            yield from (f"throughput/{id_dataset}/{network}.json" for id_dataset, network in places)


PAPER = (
    "Each cell has ours, mean and standard deviation over seeds, then the paper's value and the difference, where the "
    "paper has one. The mark † is where FIG's improvement has another sign than the paper's. A missing run leaves an "
    "empty cell, or the number of seeds that the cell is over, with the reason below the table."
)

ROWS = (
    Target(
        "overview",
        "overview",
        "What FIG does to a classifier",
        "One classifier before and after FIG: images drawn from what it is surest about, with the class and the "
        "confidence it gives them, and its scores of ID and OOD test images. None of the drawn images shows anything, "
        "so confidence in them is misplaced. The less the filled ID histogram and OOD outlines overlap, the better. "
        "The AUROC is the mean over the OOD sets, with this one seed.",
        reading="FIG works if the lower row has less confidence in its drawn images and less overlap than the upper.",
        figure=True,
        needs=("metrics.csv", "samples.npz", "scores"),
    ),
    Target(
        "table1",
        "paper_tables",
        "Table 1: AUROC of standard and FIG under each detector",
        PAPER,
        reading="FIG helps a detector where its column exceeds standard's by more than the standard deviations.",
        table=True,
        function="make_table1",
    ),
    Target(
        "table2",
        "paper_tables",
        "Table 2: AUROC on each OOD set, of each method",
        PAPER,
        reading="The best method on an OOD set has the highest number of its row, if the deviations are smaller.",
        table=True,
        function="make_table2",
    ),
    Target(
        "table3",
        "paper_tables",
        "Table 3: AUROC on each OOD set, of each method (in the paper on MiniImageNet)",
        PAPER,
        reading="The best method on an OOD set has the highest number of its row, if the deviations are smaller.",
        table=True,
        function="make_table3",
    ),
    Target(
        "table4",
        "paper_tables",
        "Table 4: harmonic mean of AUROC and accuracy, of each method",
        PAPER,
        reading="A method that gains AUROC by losing accuracy has a lower harmonic mean than one that keeps both.",
        table=True,
        function="make_table4",
    ),
    Target(
        "table5",
        "throughput",
        "Table 5: throughput of the sampler",
        "Images a second that the sampler draws from the standard discriminators, and the paper's numbers.",
        reading="More is faster; only rows with the same image size and device compare.",
        table=True,
        needs=(),
        throughput=True,
    ),
    Target(
        "paired",
        "paired",
        "FIG compared with each method, in pairs",
        "Differences of AUROC between FIG and each other method under the same seed, with a confidence interval, where "
        "both were evaluated on the same OOD sets. The figure has the mean rank of each method over combinations of ID "
        "data set, network and OOD set, the first being the best. Methods whose ranks are closer than the critical "
        "difference are not significantly different.",
        reading="FIG is better than a method if the difference is positive and its interval does not contain zero.",
        table=True,
        figure=True,
        shows=("table2", "table3"),
    ),
    Target(
        "comparison",
        "comparison",
        "Every discriminator compared",
        "All metrics of every variant under every detector, mean and standard deviation over seeds, averaged over OOD "
        "sets. Where a detector has settings to choose, oracle chooses on each test OOD set, id-only with ID images "
        "alone.",
        reading="Arrows say which way is better; differences smaller than the deviations may be chance.",
        table=True,
        whole_run=True,
    ),
    Target(
        "openood",
        "openood",
        "Near and far OOD sets by the conventions of OpenOOD",
        "AUROC and FPR at 95 % TPR with OOD as the positive class, averaged over the OOD sets of each group, then over "
        "seeds; the standard deviation over seeds is the population's (ddof 0). Of a detector with settings, ID images "
        "alone choose.",
        reading="Near OOD sets resemble the ID images and are harder to reject: compare methods within a group.",
        table=True,
        by_group=True,
    ),
    Target(
        "gains",
        "gains",
        "Gains of variants over their controls",
        "Differences of AUROC, averaged over the OOD sets of each group, and of accuracy between a variant and each of "
        "its controls, paired by seed. The range is Student's 95 % interval of the mean over seeds, with the OOD sets "
        "as they are. Intervals are not corrected for their number. The figure takes each variant under the detector "
        "by which it is compared.",
        reading="A variant is better than a control on a group if the interval is above zero.",
        table=True,
        figure=True,
        by_group=True,
        over_controls=True,
    ),
    Target(
        "fig1",
        "k_sweep",
        "Figure 1: AUROC against K",
        "K is the share of low-entropy samples in a batch, relative to its ID images; 0 is plain fine-tuning. Means "
        "over OOD sets; bars are standard deviations over seeds, dashed lines the standard discriminators.",
        reading="FIG's samples help where the curve rises above its value at K = 0, fine-tuning without samples.",
        figure=True,
        needs=("metrics.csv", "discriminator.json"),
    ),
    Target(
        "fig2",
        "teachers",
        "Figure 2: which teacher the sampler may follow",
        "Improvement of AUROC over standard, paired by seed, for each student network: training from scratch, "
        "fine-tuning on samples of a fixed teacher, and on samples of the network in training, which is FIG.",
        reading="Positive cells are gains; a fixed teacher does as well as FIG where its column is as high.",
        figure=True,
        over_standard=True,
    ),
    Target(
        "fig3",
        "training",
        "Figure 3: fine-tuning from the inside",
        "Confidence and energy of the ID images of each batch, and of the low-entropy samples before the batch's "
        "update. FIG works where the confidence of the samples falls towards chance and that of ID images stays.",
        reading="Look for orange falling towards the dotted line, a random guess, while blue stays high.",
        figure=True,
        needs=("history.csv", "discriminator.json"),
    ),
    Target(
        "fig4",
        "embedding",
        "Figure 4: features of test images and of low-entropy samples",
        "A t-SNE of the penultimate layer's features, before and after FIG: a tenth of the ID test images, and samples "
        "to which the discriminator gives a confidence above 90 %. After FIG there should be few or none of these.",
        reading="FIG worked if the confident samples that are far from all test images are gone after it.",
        figure=True,
        needs=("embedding.npz",),
        first_seed=True,
    ),
    Target(
        "fig5",
        "samples",
        "Figure 5: samples after long chains",
        "Images from chains that do not stop early and are to be taken for one class, of the standard discriminator "
        "and of FIG's, with the confidence each gives them.",
        reading="The lower the confidence in noise, the better the discriminator knows that it shows nothing.",
        figure=True,
        function="make_fig5",
        needs=("chains.npz",),
        first_seed=True,
    ),
    Target(
        "resampling",
        "resampling",
        "Content or high frequencies",
        "AUROC on the same OOD images under each resampler (r) and cropped (c), and how far the images' spectra are "
        "from those of the ID images: how much of a gain goes with high frequencies. Spectra are the radially averaged "
        "power of the luminance; the excess is the binary logarithm of an OOD set's power at high frequencies (above "
        "0.25 cycles a pixel) over the ID test images'. A rank correlation over so few sets, several of which are the "
        "same photographs, is a description and no test.",
        reading="Where gains grow with the excess, the detector responds to resizing more than to content.",
        table=True,
        figure=True,
        images=True,
        over_standard=True,
    ),
    Target(
        "finetuning",
        "training",
        "Fine-tuning of every variant that draws low-entropy samples",
        "Confidence and energy of the ID images of each batch, and of the low-entropy samples before the batch's "
        "update. Where the sampler follows a teacher, the samples' curves are the teacher's own, which does not "
        "change. Thin lines are seeds.",
        reading="A variant works as intended if orange falls while blue stays high.",
        figure=True,
        function="make_finetuning",
        needs=("history.csv",),
        whole_run=True,
    ),
    Target(
        "scores",
        "scores",
        "Scores before and after FIG",
        "How often each score of the common detector occurs among ID and OOD test images, all seeds together. The less "
        "the filled ID histogram and the OOD outlines overlap, the better the discriminator separates them. Other "
        "variants and detectors are on the discriminators' pages.",
        reading="Less overlap between filled and outlined histograms means fewer mistakes at any threshold.",
        figure=True,
        needs=("scores",),
        whole_run=True,
    ),
    Target(
        "samples",
        "samples",
        "What a discriminator is sure about, before and after FIG",
        "Low-entropy samples of each discriminator, with the class and the confidence it gives them. They begin as "
        "noise and follow the discriminator's energy; none of them shows a digit or a photograph, so confidence here "
        "is misplaced. Of the first seed; others are on the discriminators' pages.",
        reading="No image shows anything: the lower the percentages, the better.",
        figure=True,
        needs=("samples.npz",),
        whole_run=True,
    ),
)

TARGETS = {row.name: row for row in ROWS}
