"""The neurons of the hermaphrodite of *C. elegans*: names in canonical order, types, sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

__all__ = ["ALIASES", "NEURONS", "NEURON_TYPES", "left_right_pairs"]

# Types as in S. J. Cook et al., "Whole-animal connectomes of both Caenorhabditis elegans sexes",
# 2019; the pharynx is one group there. CANL and CANR are end organs there, and so not among these.
_BY_TYPE = {
    "sensory": """
        ADEL ADER ADFL ADFR ADLL ADLR AFDL AFDR ALML ALMR ALNL ALNR AQR ASEL ASER ASGL
        ASGR ASHL ASHR ASIL ASIR ASJL ASJR ASKL ASKR AVM AWAL AWAR AWBL AWBR AWCL AWCR
        BAGL BAGR CEPDL CEPDR CEPVL CEPVR DVA FLPL FLPR IL1DL IL1DR IL1L IL1R IL1VL
        IL1VR IL2DL IL2DR IL2L IL2R IL2VL IL2VR OLLL OLLR OLQDL OLQDR OLQVL OLQVR PDEL
        PDER PHAL PHAR PHBL PHBR PHCL PHCR PLML PLMR PLNL PLNR PQR PVDL PVDR PVM SDQL
        SDQR URXL URXR URYDL URYDR URYVL URYVR
    """,
    "inter": """
        ADAL ADAR AIAL AIAR AIBL AIBR AIML AIMR AINL AINR AIYL AIYR AIZL AIZR ALA AUAL
        AUAR AVAL AVAR AVBL AVBR AVDL AVDR AVEL AVER AVFL AVFR AVG AVHL AVHR AVJL AVJR
        AVKL AVKR AVL BDUL BDUR DVB DVC LUAL LUAR PVCL PVCR PVNL PVNR PVPL PVPR PVQL
        PVQR PVR PVT PVWL PVWR RIAL RIAR RIBL RIBR RICL RICR RID RIFL RIFR RIGL RIGR RIH
        RIML RIMR RIPL RIPR RIR RIS RMFL RMFR RMGL RMGR SAADL SAADR SAAVL SAAVR URBL
        URBR
    """,
    "motor": """
        AS1 AS10 AS11 AS2 AS3 AS4 AS5 AS6 AS7 AS8 AS9 DA1 DA2 DA3 DA4 DA5 DA6 DA7 DA8
        DA9 DB1 DB2 DB3 DB4 DB5 DB6 DB7 DD1 DD2 DD3 DD4 DD5 DD6 HSNL HSNR PDA PDB RIVL
        RIVR RMDDL RMDDR RMDL RMDR RMDVL RMDVR RMED RMEL RMER RMEV RMHL RMHR SABD SABVL
        SABVR SIADL SIADR SIAVL SIAVR SIBDL SIBDR SIBVL SIBVR SMBDL SMBDR SMBVL SMBVR
        SMDDL SMDDR SMDVL SMDVR URADL URADR URAVL URAVR VA1 VA10 VA11 VA12 VA2 VA3 VA4
        VA5 VA6 VA7 VA8 VA9 VB1 VB10 VB11 VB2 VB3 VB4 VB5 VB6 VB7 VB8 VB9 VC1 VC2 VC3
        VC4 VC5 VC6 VD1 VD10 VD11 VD12 VD13 VD2 VD3 VD4 VD5 VD6 VD7 VD8 VD9
    """,
    "pharynx": """
        I1L I1R I2L I2R I3 I4 I5 I6 M1 M2L M2R M3L M3R M4 M5 MCL MCR MI NSML NSMR
    """,
}

NEURON_TYPES: Mapping[str, str] = MappingProxyType(
    {name: kind for kind, names in _BY_TYPE.items() for name in names.split()}
)
NEURONS: tuple[str, ...] = tuple(sorted(NEURON_TYPES))

# AWC is asymmetric in function, and which side is on differs between animals; atlases that name the
# functions put off at the left and on at the right. "AWCOF" is AWCOFF cut to five bytes.
ALIASES: Mapping[str, str] = MappingProxyType(
    {"AWCOFF": "AWCL", "AWCOF": "AWCL", "AWCON": "AWCR", "AWC_OFF": "AWCL", "AWC_ON": "AWCR"}
)


def left_right_pairs(names: Sequence[str] = NEURONS) -> list[tuple[str, str]]:
    """List the neurons that have a partner on the other side.

    Parameters
    ----------
    names : sequence of str, default=NEURONS
        Names among which to look.

    Returns
    -------
    list of (str, str)
        Left and right name of each pair, in the order of the left names.

    Examples
    --------
    >>> left_right_pairs()[:3], len(left_right_pairs())
    ([('ADAL', 'ADAR'), ('ADEL', 'ADER'), ('ADFL', 'ADFR')], 98)
    """
    known = set(names)
    partners = ((name, name[:-1] + "R") for name in names if name.endswith("L"))
    return [pair for pair in partners if pair[1] in known]
